"""Files that are written whole: predictions for people, a run's files between its steps, a project as an archive."""
