"""The identity of a training run, and its results."""

from __future__ import annotations

import hashlib
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from treadle.flows.context.loss_module import obeyed_digest
from treadle.flows.context.workplace import Workplace, open_workplace
from treadle.flows.ingest import IngestResult
from treadle.tasks.base_rate import BaseRate
from treadle.tasks.device import DeviceUse
from treadle.tasks.errors import UsageError
from treadle.tasks.flagging import FlagMeaning
from treadle.tasks.gate.grouped import GroupGap
from treadle.tasks.reliability import Reliability

if TYPE_CHECKING:
    from treadle.infra.files.workbench import Workbench
    from treadle.tasks.config.spec import PipelineConfig


class RunRef(BaseModel):
    """One training run: everything that its steps need to find the same rows, parameters and files again.

    `champion` is the champion when the run began. `wanted_device`
    is that of the config or the command line, `device` the one that is used; `reason` says why training was due, empty
    where that was not checked. `forbidden` and `dropped` are columns that data.forbid and data.drop name and the
    champion uses; with a forbidden one it is out of service, and the challenger is judged like a first model. `token`
    is that of the run's lease: a run with an outdated token cannot write.
    """

    model_config = ConfigDict(frozen=True)

    home: str
    pipeline: str
    run_key: str
    data_version: str
    rows_version: int
    labels_version: int
    config_digest: str
    seed: int
    trials: int
    budget_seconds: float
    wanted_device: str
    device: str
    device_why: str
    champion: int | None
    reason: str = ""
    forbidden: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    token: int | None = None

    def open(self) -> Workplace:
        """The pipeline with this run's trials, budget and device in its config.

        Raises UsageError where the pipeline's file (or the one that a custom objective names) was changed during the
        run, because the run is identified by them; Fenced where another process has taken over the run's lease.
        """
        self._check_token()
        place = open_workplace(self.home, self.pipeline)
        config = with_overrides(place.config, self.trials, self.budget_seconds, self.wanted_device)
        if obeyed_digest(place.settings.home, config) != self.config_digest:
            raise UsageError(f"pipelines/{self.pipeline}.toml was changed during the run", "start it again")
        return Workplace(place.settings, config, place.stores)

    @property
    def why_dummy(self) -> str:
        """Why the challenger is not judged against a champion."""
        return f"version {self.champion} is out of service" if self.champion else "there is no champion yet"

    @property
    def work(self) -> str:
        """The name of the run's study, folder and MLflow run; another one when the champion has changed."""
        return f"{self.run_key}-{self.champion or 0}"

    @property
    def bench(self) -> Workbench:
        """The run's folder of intermediate files, until the model is registered."""
        from treadle.infra.files.workbench import Workbench

        return Workbench(self._folder / self.work, self._check_token)

    @property
    def device_use(self) -> DeviceUse:
        """The run's device, why it was chosen, and each time so far that its memory was too small."""
        name, bench = "fallbacks.json", self.bench
        fell_back = bench.get(name, tuple[str, ...]) if bench.has(name) else ()
        return DeviceUse(self.device, self.device_why, fell_back)

    @property
    def left_out(self) -> LeftOutRows:
        """What was left out when the rows were split."""
        name = "left_out.json"  # a run that was begun by an earlier treadle has none
        return self.bench.get(name, LeftOutRows) if self.bench.has(name) else LeftOutRows()

    def clear_up(self) -> None:
        """Delete the run's intermediate files, including those against former champions."""
        self._check_token()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _check_token(self) -> None:
        if self.token is not None:
            from treadle.infra import settings
            from treadle.infra.databases.ledger import Ledger

            Ledger(settings.at(Path(self.home)).ledger).renew_lease(self.pipeline, "train", self.token)

    @property
    def _folder(self) -> Path:
        from treadle.infra import settings

        return settings.at(Path(self.home)).state / "runs" / self.pipeline / self.run_key

    def lineage(self) -> dict[str, str]:
        """The model's origin as tags."""
        return {
            "run_key": self.run_key,
            "data_version": self.data_version,
            "config_digest": self.config_digest,
            "seed": str(self.seed),
            "device": self.device,
            "judged_against": f"version {self.champion}" if self.champion and not self.forbidden else "dummy",
            **({"device_fell_back": "; ".join(fell_back)} if (fell_back := self.device_use.fell_back) else {}),
            **({"reason": self.reason} if self.reason else {}),
        }

    def facts(self, rows: str) -> dict[str, str]:
        """The run's origin for the report, in order."""
        return {
            "data version": self.data_version,
            "rows": rows,
            "run key": self.run_key,
            "config digest": self.config_digest[:16],
            "seed": str(self.seed),
            "trials allowed": f"{self.trials:,} in {self.budget_seconds:g} s",
            "device": f"{self.device} ({self.device_use.sentence})",
        }


class Packaged(BaseModel):
    """The model in MLflow: its run, its address, and its bundle's digest."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    run_id: str
    model_uri: str
    digest: str


class LeftOutRows(BaseModel):
    """Labelled rows of the data version that no part of the split has, and labels without a row.

    `young` are younger than `[labels] mature_after`, `versions` are other versions of rows that train or judge,
    `orphans` are labels whose row has not come, `gap` lie in `[split] gap`.
    """

    model_config = ConfigDict(frozen=True)

    young: int = 0
    versions: int = 0
    orphans: int = 0
    gap: int = 0

    def sentence(self) -> str:
        """What was left out, in words; empty where nothing was."""
        named = {
            "rows younger than mature_after": self.young,
            "rows in the gap between the parts": self.gap,
            "other versions of these rows": self.versions,
            "labels whose row has not come": self.orphans,
        }
        return ", ".join(f"{number:,} {name}" for name, number in named.items() if number)


class TrainResult(BaseModel):
    """The result of a training run; `against` is the champion when it began, None without one.

    `unsettled` says why the challenger cannot be compared with that champion, however many rows come, so that a person
    decides; else it is empty.
    `waits`: for a person, where [gate].promote is manual and the verdict PROMOTE. `value_lower` and `value_upper` are
    the ends of the 95% interval of `value`, None where it has none. `reason` says why training was due, where it was
    asked to train only then. `notes` are the verdict's sentences that decided nothing. `basis` is the verdict's:
    better, fresh or empty; `gain` over `against` has the standard error `gain_error`, both None where nothing was
    compared. The serving booster was fitted on `serving_rows` in `serving_rounds`; 0 for a result of before there was
    one. `stopped` is 'trials' or 'budget' and `why_stopped` says it in words, both empty in results of an earlier
    version; `cut` trials were ended by the clock; `lowest_rate` is the search's lowest learning rate, `nthread` the
    threads of XGBoost (0: all). `fell_back` says each time that the device's memory was too small. `left_out` counts
    what the data version holds and no part of the split has. `flag` says what a binary model's threshold means on the
    newest holdout rows. `groups` are the differences between the groups of `[gate] groups`. `reliability` says of each
    class whether its probabilities came true on the holdout, `base_rates` how far its base rate was off in windows of
    time; both are empty for regression. `timings` are the command's seconds by part (`timings.PARTS`), None unless
    requested.
    """

    model_config = ConfigDict(frozen=True)

    pipeline: str
    run_key: str
    run_id: str
    version: int
    decision: str
    headline: str
    reasons: tuple[str, ...]
    promoted: bool
    already: bool
    metric: str
    value: float | None
    champion_value: float | None
    linear_value: float | None
    dummy_value: float | None
    against: int | None
    trials: int
    resumed: int
    seconds: float
    report: str
    data_version: str
    device: str
    device_why: str
    fell_back: tuple[str, ...] = ()
    judged_rows: int = 0
    holdout_reads: int = 0
    value_lower: float | None = None
    value_upper: float | None = None
    waits: bool = False
    unsettled: str = ""
    reason: str = ""
    notes: tuple[str, ...] = ()
    basis: str = ""
    gain: float | None = None
    gain_error: float | None = None
    serving_rows: int = 0
    serving_rounds: int = 0
    stopped: str = ""
    why_stopped: str = ""
    cut: int = 0
    lowest_rate: float = 0.0
    nthread: int = 0
    left_out: LeftOutRows = LeftOutRows()
    timings: dict[str, float] | None = None
    ingest: IngestResult | None = None
    flag: FlagMeaning | None = None
    groups: tuple[GroupGap, ...] = ()
    reliability: tuple[Reliability, ...] = ()
    base_rates: tuple[BaseRate, ...] = ()

    def exit_code(self) -> int:
        """4 when the gate said REFUSED or NOT_COMPARABLE, 3 when a batch that waited was refused whole, else 0."""
        if self.decision in ("REFUSED", "NOT_COMPARABLE"):
            return 4
        return self.ingest.exit_code() if self.ingest else 0


class NotDue(BaseModel):
    """The result of a command that trains only if due, where nothing was due; its fields are some of TrainResult's.

    `against` is the champion, which stays.
    """

    model_config = ConfigDict(frozen=True)

    pipeline: str
    decision: Literal["NOT_DUE"] = "NOT_DUE"
    headline: str
    reasons: tuple[str, ...]
    against: int | None
    data_version: str
    ingest: IngestResult | None = None

    def exit_code(self) -> int:
        """3 when a batch that waited was refused whole, else 0."""
        return self.ingest.exit_code() if self.ingest else 0


def with_overrides(
    config: PipelineConfig, trials: int | None, budget_seconds: float | None, device: str | None
) -> PipelineConfig:
    """The config with the options of the command line; None leaves the config's value."""
    tune = {"trials": trials, "budget_seconds": budget_seconds}
    model = {"device": device}
    return config.model_copy(
        update={
            "tune": config.tune.model_copy(update={key: value for key, value in tune.items() if value is not None}),
            "model": config.model.model_copy(update={key: value for key, value in model.items() if value is not None}),
        }
    )


def flat(config: PipelineConfig) -> dict[str, object]:
    """The config as dotted keys, as parameters of a run."""
    sections = config.model_dump(mode="json", exclude={"name"})
    return {f"{section}.{key}": value for section, values in sections.items() for key, value in values.items()}


def code_version() -> str:
    """The version of treadle that runs."""
    from importlib.metadata import version

    return version("treadle")


def lock_hash() -> str:
    """Sha256 of the clone's `requirements.lock`; empty outside a clone."""
    lock = Path(__file__).resolve().parents[2] / "requirements.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else ""


def run_name(data_version: str, config_digest: str, seed: int, device: str) -> str:
    """What identifies a run; the device that is used counts, because another device grows other trees.

    The CPU is not named, so that runs of earlier versions keep their keys.
    """
    return f"{data_version}|{config_digest}|{seed}" + ("" if device == "cpu" else f"|{device}")


def key_of(name: str, ordinal: int) -> str:
    """The run key: 16 hex digits of the sha256 of name and ordinal; `ordinal` counts repetitions of the same run."""
    return hashlib.sha256(f"{name}|{ordinal}".encode()).hexdigest()[:16]


def none_if_nan(value: float) -> float | None:
    """None for NaN and infinity, which databases and JSON cannot hold."""
    return value if math.isfinite(value) else None
