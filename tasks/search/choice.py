"""Which trial becomes the model, or which trials together.

Trials are compared on rows that none of them was fitted on. Many trials on few rows make one of them look better than
it is, so the plainer wins where the difference is within its own standard error (Breiman et al. 1984, section 3.4.3);
and averages of several are found greedily (Caruana et al. 2004, Ensemble selection from libraries of models).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from treadle.tasks.search.course import Course
    from treadle.tasks.search.found import Trial

CANDIDATES = 12
"""Only so many of the best trials may become members."""

DRAWS = 10
"""An average has so many draws at most: shares are multiples of a tenth."""

MEASURED = 50_000
"""On more measured rows than this, a sample of so many ranks averages."""

EXTRA_MEMBER = 0.25
"""A further member must gain this share of the standard error of its gain, for it costs its trees for ever."""


@dataclass(frozen=True, slots=True)
class Average:
    """Trials with the number of draws of each; `value` is the metric of the average, `single` of the best alone."""

    draws: Mapping[int, int]
    value: float
    single: float


def plainest(course: Course, trials: Sequence[Trial], margins: Callable[[Trial], Sequence[np.ndarray]]) -> Trial:
    """The smallest of the trials that are no worse than the best by more than one standard error of the difference."""
    ranked = _ranked(course, trials)
    best = ranked[0]
    near = [best]
    reference = influence(course, margins(best))
    for trial in ranked[1:]:
        deficit = course.sign * ((best.value or 0.0) - (trial.value or 0.0))
        if deficit <= difference_error(course, reference, influence(course, margins(trial))):
            near.append(trial)
    return min(near, key=lambda trial: (trial.size, trial.number))


def best_average(
    course: Course,
    trials: Sequence[Trial],
    margins: Callable[[Trial], Sequence[np.ndarray]],
    affordable: Callable[[Sequence[Trial]], bool],
) -> Average:
    """The best average of margins that is found by adding one trial after the other, some of them several times.

    It begins with the best trial. Each step adds the trial that helps most, among those with which the members are
    still `affordable`; the first average is taken that no longer one beats by more than `EXTRA_MEMBER` of the standard
    error of the gain.
    """
    import numpy as np

    ranked = _ranked(course, trials)
    by_number = {trial.number: trial for trial in ranked}
    sampled = _sampled(course)
    known = {trial.number: [one[at] for one, at in zip(margins(trial), sampled, strict=True)] for trial in ranked}

    def score(mean: Sequence[np.ndarray]) -> float:
        return course.sign * course.score(course.answers(mean, sampled), sampled)

    draws = [ranked[0].number]
    total = [one.astype(np.float64) for one in known[draws[0]]]
    path = [(list(draws), score(total), total)]
    while len(draws) < DRAWS:
        options = []
        for number, margin in known.items():
            wider = [by_number[one] for one in dict.fromkeys([*draws, number])]
            if affordable(wider):
                mean = [(one * len(draws) + more) / (len(draws) + 1) for one, more in zip(total, margin, strict=True)]
                options.append((score(mean), -number, mean))
        if not options:
            break
        value, number, total = max(options, key=lambda option: option[:2])
        draws.append(-number)
        path.append((list(draws), value, total))
    chosen, value, mean = path[0]
    for later, later_value, later_mean in path[1:]:
        needed = 0.0
        if len(set(later)) > len(set(chosen)):
            own, other = (influence(course, one, sampled) for one in (mean, later_mean))
            needed = EXTRA_MEMBER * difference_error(course, own, other, sampled)
        if later_value - value > needed:
            chosen, value, mean = later, later_value, later_mean
    counts = {number: chosen.count(number) for number in dict.fromkeys(chosen)}
    return Average(counts, course.sign * value, course.sign * path[0][1])


def _ranked(course: Course, trials: Sequence[Trial]) -> list[Trial]:
    """The best trials, best first; of equal ones the earlier."""
    ranked = sorted(trials, key=lambda trial: (-course.sign * (trial.value or 0.0), trial.number))
    return ranked[:CANDIDATES]


def _sampled(course: Course) -> list[np.ndarray]:
    """For each lane the positions of the measured rows by which averages are ranked."""
    import numpy as np

    share = min(1.0, MEASURED / max(1, len(course.y)))
    draw = np.random.default_rng(0)
    sizes = [len(lane.rows.y) for lane in course.lanes]
    return [np.sort(draw.permutation(size)[: max(1, round(share * size))]) for size in sizes]


def influence(course: Course, margins: Sequence[np.ndarray], at: Sequence[np.ndarray] | None = None) -> np.ndarray:
    """How each measured row moves the metric, float64 [n]."""
    import numpy as np

    from treadle.tasks.influence import influences

    y, p = np.concatenate(course.labels(at)), np.concatenate(course.answers(margins, at))
    return influences(course.metric, y, p, weight=course.weight(at))


def difference_error(
    course: Course, ours: np.ndarray, theirs: np.ndarray, at: Sequence[np.ndarray] | None = None
) -> float:
    """The standard error of the difference of two metrics on the same rows; NaN where a metric is not defined.

    `ours` and `theirs` are influences of the measured rows (of those `at`), which depend on each other as the course
    says.
    """
    from treadle.tasks.dependence import usable_error

    return usable_error(ours - theirs, course.dependence_of(at), course.weight(at))
