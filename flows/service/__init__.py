"""What `treadle up` runs and does by itself, and what a Prefect server runs for a project."""
