"""Tables as people bring them: capitals and spaces, marks for missing, ids, dates in every fashion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from treadle.tasks.config.spec import MISSING
from treadle.tasks.dataset import RawTable, quote
from treadle.tasks.dataset.infer import infer
from treadle.tasks.dataset.profile import Profile, profile
from treadle.tasks.dataset.proposal import Proposal, Wanted

if TYPE_CHECKING:
    import duckdb


def customers(rows: int = 3_000, seed: int = 0) -> pd.DataFrame:
    """Binary: does a customer leave? All text, as a CSV has it."""
    draw = np.random.default_rng(seed)
    age = draw.integers(18, 90, rows).astype(str).astype(object)
    age[::9] = "?"
    age[4::31] = "NA"
    frame = pd.DataFrame(
        {
            "Customer ID": [f"C-{number:06d}" for number in draw.permutation(rows)],
            "Signed Up": (pd.Timestamp("2021-01-01") + pd.to_timedelta(draw.integers(0, 700, rows), "D")).strftime(
                "%m/%d/%Y"
            ),
            "Age": age,
            "Spend ($)": np.round(draw.lognormal(3, 1, rows), 2).astype(str),
            "Balance": np.round(draw.normal(50, 10, rows), 2).astype(str),
            "Plan Type": draw.choice(["1", "2", "3"], rows),
            "Zip Code": draw.choice(["02134", "10001", "90210"], rows),
            "Gender": draw.choice(["f", "m"], rows),
            "Product": draw.choice(["a", "b", "c", "d"], rows),
            "Uses App": draw.choice(["True", "False"], rows),
            "Remarks": [f"they told us number {number} in quite a few words of their own" for number in range(rows)],
            "Country": ["US"] * rows,
            "Left?": draw.choice(["Yes", "No"], rows, p=[0.2, 0.8]),
        }
    )
    return frame.astype(object)


def rides(rows: int = 3_000, seed: int = 0) -> pd.DataFrame:
    """Regression with a time: hourly counts, two columns of which add up to the target."""
    draw = np.random.default_rng(seed)
    hours = pd.date_range("2011-01-01", periods=rows, freq="h")
    casual, registered = draw.poisson(20, rows), draw.poisson(80, rows)
    return pd.DataFrame(
        {
            "instant": np.arange(1, rows + 1),
            "dteday": hours.strftime("%Y%m%d").astype(int),
            "hr": hours.hour.astype("int64"),
            "season": (hours.month % 12 // 3 + 1).astype("int64"),
            "yr": (hours.year - 2011).astype("int64"),
            "temp": draw.uniform(0, 1, rows).round(2),
            "casual": casual,
            "registered": registered,
            "cnt": casual + registered,
        }
    )


def visits(rows: int = 3_000, seed: int = 0) -> pd.DataFrame:
    """Multiclass with people who come back."""
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "encounter_id": draw.permutation(rows) + 10_000,
            "patient_nbr": draw.integers(0, rows // 2, rows) * 7 + 1_000_000,
            "admission_type_id": draw.integers(1, 6, rows),
            "time_in_hospital": draw.integers(1, 14, rows),
            "weight": np.where(draw.random(rows) < 0.97, "?", "[50-75)"),
            "A1C": draw.choice(["None", "Norm", ">7"], rows),
            "drug": "No",
            "readmitted": draw.choice(["<30", ">30", "NO"], rows, p=[0.2, 0.3, 0.5]),
        }
    )


def table(con: duckdb.DuckDBPyConnection, frame: pd.DataFrame) -> RawTable:
    """`frame` as a file opened in DuckDB; columns of objects are text."""
    con.execute("SET TimeZone = 'UTC'")
    con.register("frame", frame.assign(_ordinal=np.arange(len(frame))))
    kept = ", ".join(quote(str(name)) for name in frame.columns)
    con.execute(f"CREATE OR REPLACE TABLE opened AS SELECT {kept}, CAST(_ordinal AS BIGINT) AS _ordinal FROM frame")
    con.unregister("frame")
    described = con.execute("DESCRIBE opened").fetchall()
    return RawTable("opened", tuple((row[0], row[1]) for row in described if row[0] != "_ordinal"), "batch")


def look(
    con: duckdb.DuckDBPyConnection, frame: pd.DataFrame, target: str, wanted: Wanted | None = None
) -> tuple[Profile, Proposal]:
    """Profile and proposal of `frame`."""
    facts = profile(con, table(con, frame), MISSING)
    return facts, infer(con, facts, target, wanted or Wanted())
