"""MLflow: runs, the registry, cleanup, relocation of a project, its web pages, and the scorer of every bundle."""
