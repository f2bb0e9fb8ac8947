-- What infra/deploy/compose.yaml's PostgreSQL makes when it is first started: MLflow, Optuna and Prefect name tables alike.
CREATE DATABASE prefect;
CREATE DATABASE mlflow;
CREATE DATABASE ledger;
CREATE DATABASE optuna;
