"""What is to be predicted: which task a target column makes, and which of two classes is the positive one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from treadle.tasks.dataset import names
from treadle.tasks.dataset.schema import nearest
from treadle.tasks.errors import TargetError

if TYPE_CHECKING:
    from treadle.tasks.config.spec import Task
    from treadle.tasks.dataset.profile import ColumnFacts, Level, Profile

MOST_CLASSES = 100
"""Text with more different values than this is no set of classes."""
FEW_NUMBERS = 10
"""Up to so many different whole numbers are taken for classes, unless their name says that they measure."""
ROWS_PER_CLASS = 10

YES = frozenset(
    """yes y true t 1 positive pos bad default defaulted churn churned fraud spam malignant died dead failed fail late
    readmitted converted won win success survived present sick disease approved accepted delayed attrition left
    abnormal anomaly >50k""".split()  # noqa: SIM905 - read as words
)
NO = frozenset("no n false f 0 negative neg none not never".split())  # noqa: SIM905 - read as words


@dataclass(frozen=True, slots=True)
class Aim:
    """A target column, its task and classes (empty for regression) and the positive one (binary only), with reasons."""

    target: str
    task: Task
    classes: tuple[Level, ...]
    positive: Level | None
    why_target: str
    why_task: str
    why_positive: str = ""


def aim(profile: Profile, target: str, task: str = "") -> Aim:
    """The aim of predicting `target`; `task` overrides what its values say, if they allow it.

    Raises TargetError for a column that is not there, has no values or one, or does not make the task.
    """
    if target not in profile.names:
        close = nearest(target, profile.names)
        raise TargetError(
            f"there is no column {target!r}",
            f"did you mean {close!r}?" if close else f"columns: {', '.join(profile.names)}",
        )
    facts = profile[target]
    if facts.distinct < 2:
        only = f"one value ({facts.levels[0][0]!r})" if facts.levels else "no value"
        raise TargetError(
            f"target {target!r} holds {only} in all {profile.rows:,} rows: nothing can be learned",
            "choose another target, or a table with both kinds of rows",
        )
    decided, why = _task(facts)
    if task and task != decided:
        _check_task(facts, task)
        decided, why = cast("Task", task), "as you said"
    gaps = f"; {facts.gaps:,} rows have none: to be scored" if facts.gaps else ""
    if decided == "regression":
        spans = f"{facts.low:,.6g} to {facts.high:,.6g}, mean {facts.mean:,.6g}{gaps}"
        return Aim(target, decided, (), None, spans, why)
    classes = tuple(level for level, _, _ in facts.levels)
    if decided == "multiclass":
        least, count, _ = facts.levels[-1]
        rarest = f"{len(classes)} classes; rarest {_shown(least)} with {count:,} of {facts.values:,} rows{gaps}"
        return Aim(target, decided, classes, None, rarest, why)
    positive, why_positive = _positive(facts)
    share = next(count for level, count, _ in facts.levels if level == positive) / facts.values
    shown = f"{share:.1%} of {facts.values:,} rows are {_shown(positive)}{gaps}"
    return Aim(target, decided, classes, positive, shown, why, why_positive)


def _task(facts: ColumnFacts) -> tuple[Task, str]:
    if facts.kind in ("date", "timestamp"):
        raise TargetError(
            f"target {facts.name!r} holds {facts.kind}s, which cannot be predicted",
            "make a number of it first (days until ...)",
        )
    if facts.distinct == 2:
        both = " and ".join(_shown(level) for level, _, _ in facts.levels)
        return "binary", f"two values: {both}"
    if facts.kind == "text":
        if facts.distinct > min(MOST_CLASSES, facts.values / 2):
            raise TargetError(
                f"target {facts.name!r} is text with {facts.distinct:,} different values "
                f"in {facts.values:,} rows: that is no set of classes",
                "choose another target, or group its values first",
            )
        return "multiclass", f"text with {facts.distinct} different values"
    if not facts.whole:
        return "regression", "its values are numbers with fractions"
    few = facts.distinct <= FEW_NUMBERS and facts.distinct * ROWS_PER_CLASS <= facts.values
    if few and not names.is_amount(facts.name):
        return "multiclass", f"only {facts.distinct} different whole numbers; say 'regression' if they measure"
    return "regression", f"{facts.distinct:,} different whole numbers"


def _check_task(facts: ColumnFacts, task: str) -> None:
    rule = {
        "binary": (facts.distinct == 2, f"binary needs two values, it has {facts.distinct:,}"),
        "multiclass": (
            3 <= facts.distinct <= MOST_CLASSES,
            f"multiclass needs 3 to {MOST_CLASSES} values, it has {facts.distinct:,}",
        ),
        "regression": (facts.numeric, f"regression needs numbers, it holds {facts.kind}"),
    }
    fits, why = rule.get(task, (False, f"there is no task {task!r}: binary, multiclass or regression"))
    if not fits:
        raise TargetError(f"target {facts.name!r}: {why}", "choose another --task, or leave it out")


def _positive(facts: ColumnFacts) -> tuple[Level, str]:
    """The class that people ask for: the one that says yes, else the one that does not say no, else the rarer."""
    classes = [level for level, _, _ in facts.levels]
    words = {level: str(level).strip().lower() for level in classes}
    if facts.kind == "boolean":
        return True, "it says yes"
    if facts.numeric:
        if set(classes) in ({0, 1}, {-1, 1}):
            return next(level for level in classes if level == 1), "it says yes"
    else:
        yes = [level for level, word in words.items() if word in YES]
        no = [level for level, word in words.items() if word in NO or word.split(" ")[0].split("-")[0] in NO]
        if len(yes) == 1:
            return yes[0], "it says yes"
        if len(no) == 1:
            return next(level for level in classes if level != no[0]), f"{_shown(no[0])} says no"
        above = [level for level, word in words.items() if word.startswith(">")]
        if len(above) == 1:
            return above[0], "it is the upper one"
    return classes[-1], "it is the rarer one"


def _shown(level: Level | None) -> str:
    if isinstance(level, float) and level == int(level):
        return str(int(level))
    return f"'{level}'" if isinstance(level, str) else str(level).lower() if isinstance(level, bool) else str(level)
