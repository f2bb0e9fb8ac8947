"""The scorer that ships in every bundle: MLflow runs it to load and score a bundle without treadle."""
