"""The exceptions that a person meets, each with its exit code.

TreadleError                 1  something failed
├── UsageError               2  bad usage, config or target
│   ├── ConfigError             file, line, key, value and what is allowed
│   ├── TargetError             the target cannot be learned (missing, one class, ...)
│   ├── HomeError               no project here, or no such pipeline
│   ├── NewerFormat             a newer treadle made this
│   ├── NothingPromoted         no champion yet
│   └── ForbiddenColumn         a model uses a column that data.forbid names
├── DataError                1  a table that cannot be read or does not fit
│   └── UnreadableFile          a file of data that is damaged, empty or no flat table
├── BundleError              1  a model artifact is damaged, incomplete or not ours
├── Conflict                 1  another process changed the champion first
├── Fenced                   1  this process was suspended, and another took over its work
└── ServiceError             1  a server or database that we need does not answer

A refused batch (3) and a verdict that promotes no model (4) are results, which know their own exit code.

Every error states what is wrong and, as `fix`, what to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.commands import advice_line

if TYPE_CHECKING:
    from treadle.tasks.commands import Advice


class TreadleError(Exception):
    """What went wrong (`message`, one line) and what to do (`advice`; `fix` is its line, may be empty).

    `pipeline` is added to the commands of the fix; it is set where the pipeline is known, empty until then.
    """

    exit_code: int = 1

    def __init__(self, message: str, advice: Advice = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.pipeline = ""

    @property
    def kind(self) -> str:
        """Which error it is, whatever its message: its class."""
        return type(self).__name__

    @property
    def fix(self) -> str:
        """The fix in one line; empty where there is none."""
        return advice_line(self.advice, self.pipeline)

    def __str__(self) -> str:
        """The message and, on a second line, the fix."""
        return f"{self.message}\n{self.fix}" if self.fix else self.message


class UsageError(TreadleError):
    exit_code = 2


class ConfigError(UsageError):
    """A pipeline file that says something we do not obey.

    `where` is `file:line` (or the file), `key` the dotted key, e.g. `data.target`.
    """

    def __init__(self, message: str, advice: Advice = "", *, where: str = "", key: str = "") -> None:
        place = ": ".join(part for part in (where, key) if part)
        super().__init__(f"{place}: {message}" if place else message, advice)
        self.where = where
        self.key = key

    @property
    def kind(self) -> str:
        """The class and, where there is one, the key."""
        return f"{type(self).__name__} {self.key}" if self.key else type(self).__name__


class TargetError(UsageError):
    pass


class HomeError(UsageError):
    pass


class NewerFormat(UsageError):
    """`what` has a newer format than this version supports; it is left as it is."""

    def __init__(self, what: str, found: int, supported: int) -> None:
        super().__init__(
            f"{what} is of format {found}, made by a newer treadle; this one knows format {supported}",
            "update treadle, or go on with the version that made it",
        )


class NothingPromoted(UsageError):
    pass


class ForbiddenColumn(UsageError):
    pass


class DataError(TreadleError):
    pass


class UnreadableFile(DataError):
    """A `file` of data that cannot be read, and the `reason` without the file's name."""

    def __init__(self, file: str, reason: str, advice: Advice = "") -> None:
        super().__init__(f"{file}: {reason}", advice)
        self.file = file
        self.reason = reason


class BundleError(TreadleError):
    pass


class Conflict(TreadleError):
    pass


class Fenced(TreadleError):
    pass


class ServiceError(TreadleError):
    pass
