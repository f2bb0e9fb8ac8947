"""The service of a project: `treadle up` with its periodic checks, alerts, and a Prefect server's deployments."""
