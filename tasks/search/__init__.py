"""The Optuna study: which parameters, in which order, within which trials and seconds.

A study is a row of slots. The first ones hold the portfolio (`space`), a strong default before all; the others are
TPE's. The sampler is seeded anew from (seed, slot), so that a study which was killed and goes on makes the same
trials as one that was not. What becomes of the trials is decided in `choice`: an average of several where that is
measurably better, else the plainest of those that are as good as the best.

The first model comes early whatever the table: the first trial ends after a tenth of the budget, and where rounds are
slow for it, the learning rates of the whole study are raised. How slow they are is calculated from the table, and
measured only to correct it on machines that are far faster or slower, so that neighbours on the machine change
nothing. A trial that the clock ended is marked, and `Found.stopped` says what ended the search. The budget is also for
the fits that follow: the search leaves them their time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from treadle.tasks.device import falls_back
from treadle.tasks.search.found import NOTHING_TO_SEARCH, Found, Setting, Trial
from treadle.tasks.search.space import ranges
from treadle.tasks.search.spec import Aftermath, TuneSpec
from treadle.tasks.search.study import Search, open_study, trials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import optuna

    from treadle.tasks.booster import Scalar
    from treadle.tasks.search.course import Course

__all__ = ["NOTHING_TO_SEARCH", "Aftermath", "Found", "Search", "Setting", "Trial", "TuneSpec", "run_search", "trials"]


@falls_back
def run_search(
    storage: optuna.storages.BaseStorage,
    study_name: str,
    lay_out: Callable[[str, bool], Course],
    *,
    spec: TuneSpec,
    on_trial: Callable[[Trial, int, int, float], None],
    device: str,
    aftermath: Aftermath | None = None,
    earlier: Sequence[Mapping[str, Scalar]] = (),
    stop: Callable[[], bool] = lambda: False,
    answers: Path | None = None,
    spent: float = 0.0,
    hurried: bool = False,
    external: bool = False,
) -> Found:
    """Search parameters within the trials and seconds of `spec`; those of an earlier, interrupted run count.

    `lay_out` bins the rows for a device, and says whether they stay in the host's memory. `on_trial` is called with
    each trial that ended: the trial, how many are done, how many there may be, the seconds left until both models are
    fitted. `spent` seconds of the budget are gone already, and `hurried` says that they did not suffice. The first
    trial is cut short by the clock, never thrown away, so there is always a model. `stop` is asked after every round:
    once it is true, the trial at work is the last one. The first trial is made all the same. Ctrl-C as an exception
    passes through: the trial that it hit is marked as failed and made again next time. So is a trial for which the
    GPU's memory is too small: the study goes on elsewhere (`device.falls_back`), in `external` memory or on the CPU.
    Margins of the measured rows are kept in the folder `answers` for a run that goes on (None: it makes them anew).
    `earlier` are settings of models before, such as the champion's: they are tried after the portfolio.
    """
    began = time.monotonic()
    course = lay_out(device, external)
    study = open_study(storage, study_name, course.metric)
    past = [trial for trial in trials(study) if trial.state != "failed"]
    before = sum(trial.seconds for trial in past) + spent
    search = Search(
        study,
        course,
        spec,
        aftermath or Aftermath(),
        deadline=began + max(spec.budget_seconds - before, 0.0),
        lap=began,
        earlier=tuple(earlier),
        stop=stop,
        answers=answers,
        hurried=hurried,
    )
    # where a person has set every parameter there is nothing to vary
    most = spec.trials if ranges(0.1, course.rows, settled=course.settled) else 1
    for slot in range(len(past), most):
        if slot and (stop() or not search.has_time()):
            break
        search.attempt(slot)
        on_trial(trials(study)[-1], slot + 1, most, search.forecast(most - slot - 1))
    made = trials(study)
    finished = sum(trial.state != "failed" for trial in made)
    settings, value, single = search.settle([trial for trial in made if trial.state == "complete"])
    first = max(settings, key=lambda setting: setting.share)
    return Found(
        params=first.params,
        rounds=first.rounds,
        value=value,
        trials=made,
        resumed=len(past),
        seconds=round(before - spent + time.monotonic() - began, 3),
        stopped="trials" if finished >= most else "interrupt" if stop() else "budget",
        allowed=most,
        lowest_rate=float(study.user_attrs.get("lowest_rate", 0.0)),
        nthread=int(course.fixed["nthread"]),
        members=tuple(settings) if len(settings) > 1 else (),
        single_value=single,
        lanes=len(course.lanes),
        hurried=search.hurried,
        fitted_rows=sum(lane.fitted.num_row() for lane in course.lanes) // len(course.lanes),
    )
