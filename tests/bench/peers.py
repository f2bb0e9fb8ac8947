"""One peer of treadle on one part of a table: `python peers.py SYSTEM FOLDER SECONDS THREADS`.

Runs alone in the peer's own environment and imports nothing of this project. Reads `train.parquet`, `test.parquet` (no
target) and `task.json` from the folder; writes `predicted.parquet` and `result.json` (`seconds` without imports, and
what the peer says about its model).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

OBJECTIVES = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}
WATCHED = {"binary": "auc", "multiclass": "mlogloss", "regression": "rmse"}
SHARE = 0.88
"""Of the seconds, what the search of `optuna_xgb` may take: the rest is for the last fit."""


class Job:
    """What `task.json` says, and the two frames."""

    def __init__(self, folder, seconds, threads):
        about = json.loads((folder / "task.json").read_text())
        self.task, self.target, self.metric = about["task"], about["target"], about["metric"]
        self.positive, self.fold = about["positive"], about["fold"]
        self.seconds, self.threads = seconds, threads
        self.train, self.test = (pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "test"))
        truth = self.train[self.target]
        self.labels = sorted(truth.astype(str).unique()) if self.task == "multiclass" else []
        if self.task == "regression":
            self.y = truth.to_numpy(float)
        elif self.task == "binary":
            self.y = (truth == self.positive).to_numpy(int)
        else:
            self.y = pd.Index(self.labels).get_indexer(truth.astype(str))
        self.about = {}

    def features(self, dates=True):
        """Training and test features: text as categories; dates as days if `dates`."""
        pair = [self.train.drop(columns=self.target), self.test.copy()]
        for name in pair[0]:
            column = pair[0][name]
            if pd.api.types.is_datetime64_any_dtype(column):
                for frame in pair if dates else ():
                    frame[name] = (frame[name] - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
            elif not pd.api.types.is_numeric_dtype(column):
                levels = sorted(column.dropna().astype(str).unique())
                for frame in pair:
                    text = frame[name].astype(object).where(frame[name].notna(), None)
                    text = text.map(lambda value: value if value is None else str(value))
                    frame[name] = pd.Categorical(text, categories=levels)
        return pair

    def answer(self, predicted):
        """What a peer's `predict` or `predict_proba` returned, as the frame that is scored."""
        predicted = np.asarray(predicted, dtype=float)
        if self.task == "regression":
            return pd.DataFrame({"prediction": predicted})
        if self.task == "binary":
            return pd.DataFrame({"probability": predicted[:, 1] if predicted.ndim == 2 else predicted})
        return pd.DataFrame(predicted, columns=self.labels)

    def fitted(self, regressor, classifier, train, test):
        """A scikit-learn model's predictions."""
        model = (regressor if self.task == "regression" else classifier).fit(train, self.y)
        return self.answer(model.predict(test) if self.task == "regression" else model.predict_proba(test))


def xgb_default(job):
    import xgboost

    settings = {"n_jobs": job.threads, "enable_categorical": True, "tree_method": "hist"}
    return job.fitted(xgboost.XGBRegressor(**settings), xgboost.XGBClassifier(**settings), *job.features())


def histgb_default(job):
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    pair = job.features()
    for name in pair[0]:  # it takes at most 255 levels
        if isinstance(pair[0][name].dtype, pd.CategoricalDtype) and len(pair[0][name].cat.categories) > 255:
            for frame in pair:
                frame[name] = frame[name].cat.codes.replace(-1, np.nan).astype(float)
    return job.fitted(
        HistGradientBoostingRegressor(random_state=0), HistGradientBoostingClassifier(random_state=0), *pair
    )


def optuna_xgb(job):
    """Optuna over XGBoost with five folds: what one writes by hand in an afternoon."""
    import optuna
    import xgboost
    from sklearn.model_selection import KFold, StratifiedKFold

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    began = time.time()
    stop = began + SHARE * job.seconds
    train, test = job.features()
    base = {"tree_method": "hist", "nthread": job.threads, "seed": 0, "objective": OBJECTIVES[job.task]}
    base |= {"eval_metric": WATCHED[job.task]} | ({"num_class": len(job.labels)} if job.labels else {})
    kind = KFold if job.task == "regression" else StratifiedKFold

    def matrix(rows):
        return xgboost.DMatrix(train.iloc[rows], job.y[rows], enable_categorical=True)

    folds = [(matrix(a), matrix(b)) for a, b in kind(5, shuffle=True, random_state=0).split(train, job.y)]

    class Clock(xgboost.callback.TrainingCallback):
        def after_iteration(self, model, epoch, evals_log):
            if time.time() > stop:
                raise optuna.TrialPruned
            return False

    def objective(trial):
        if time.time() > stop:
            raise optuna.TrialPruned
        params = base | {
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
            "max_depth": trial.suggest_int("max_depth", 3, 10),
            "min_child_weight": trial.suggest_float("min_child_weight", 1, 20, log=True),
            "subsample": trial.suggest_float("subsample", 0.5, 1),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.5, 1),
            "reg_lambda": trial.suggest_float("reg_lambda", 1e-3, 10, log=True),
            "reg_alpha": trial.suggest_float("reg_alpha", 1e-3, 10, log=True),
            "gamma": trial.suggest_float("gamma", 1e-3, 5, log=True),
        }
        scores, rounds = [], []
        for inside, outside in folds:
            booster = xgboost.train(
                params, inside, 2000, evals=[(outside, "v")], early_stopping_rounds=50, verbose_eval=False,
                callbacks=[Clock()],
            )  # fmt: skip
            scores.append(booster.best_score)
            rounds.append(booster.best_iteration + 1)
        trial.set_user_attr("params", params)
        trial.set_user_attr("rounds", int(np.mean(rounds) * 1.1) + 1)
        return float(np.mean(scores))

    direction = "maximize" if job.task == "binary" else "minimize"
    study = optuna.create_study(direction=direction, sampler=optuna.samplers.TPESampler(seed=job.fold))
    study.optimize(objective, timeout=SHARE * job.seconds)
    whole = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    params, rounds = base, 100
    if whole:
        params, rounds = (study.best_trial.user_attrs[key] for key in ("params", "rounds"))
    job.about |= {"trials": len(whole), "rounds": rounds}
    booster = xgboost.train(params, xgboost.DMatrix(train, job.y, enable_categorical=True), rounds)
    return job.answer(booster.predict(xgboost.DMatrix(test, enable_categorical=True)))


def flaml(job):
    """FLAML, XGBoost only."""
    from flaml import AutoML

    train, test = job.features(dates=False)
    model = AutoML()
    model.fit(
        train, pd.Series(job.y), task="regression" if job.task == "regression" else "classification",
        metric=job.metric, time_budget=job.seconds, n_jobs=job.threads, seed=job.fold + 1, verbose=0,
        estimator_list=["xgboost"],
    )  # fmt: skip
    job.about |= {"best": str(model.best_config), "trials": len(model.config_history)}
    return job.answer(model.predict(test) if job.task == "regression" else model.predict_proba(test))


def autogluon(job, presets):
    from autogluon.tabular import TabularPredictor

    metric = {"roc_auc": "roc_auc", "log_loss": "log_loss", "rmse": "root_mean_squared_error"}[job.metric]
    with tempfile.TemporaryDirectory(prefix="bench-autogluon-") as folder:
        model = TabularPredictor(job.target, eval_metric=metric, problem_type=job.task, path=folder, verbosity=1)
        model.fit(job.train, time_limit=job.seconds, num_cpus=job.threads, presets=presets)
        job.about |= {"best": model.model_best, "models": len(model.leaderboard())}
        if job.task == "regression":
            return pd.DataFrame({"prediction": model.predict(job.test).to_numpy(float)})
        shares = model.predict_proba(job.test).reset_index(drop=True).rename(columns=str)
    return shares if job.task == "multiclass" else pd.DataFrame({"probability": shares[job.positive]})


def ag_medium(job):
    return autogluon(job, "medium_quality")


def ag_best(job):
    return autogluon(job, "best_quality")


PEERS = {peer.__name__: peer for peer in (xgb_default, histgb_default, optuna_xgb, flaml, ag_medium, ag_best)}


def main(system, folder, seconds, threads):
    warnings.filterwarnings("ignore")
    job = Job(Path(folder), float(seconds), int(threads))
    began = time.time()
    predicted = PEERS[system](job)
    job.about["seconds"] = round(time.time() - began, 1)
    predicted.to_parquet(Path(folder) / "predicted.parquet", index=False)
    (Path(folder) / "result.json").write_text(json.dumps(job.about))


if __name__ == "__main__":
    main(*sys.argv[1:])
