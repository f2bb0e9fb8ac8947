"""MLflow: runs, the registry, cleanup, relocation of a moved project, its web pages, and the scorer of every bundle."""
