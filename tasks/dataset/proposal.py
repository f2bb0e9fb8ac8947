"""What a pipeline's config should say of a table, and what of it a person chose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from treadle.tasks.dataset.schema import Schema
    from treadle.tasks.dataset.target import Aim


@dataclass(frozen=True, slots=True)
class Wanted:
    """A person's choices on the command line; empty ones are inferred."""

    task: str = ""
    key: tuple[str, ...] = ()
    time: str = ""


@dataclass(slots=True)
class Proposal:
    """What the config should say. `why` gives the reason by dotted key; `drop` and `categories` by column.

    `schema` has the kinds after all choices; `remarks` are sentences on what a person should look at.
    """

    aim: Aim
    schema: Schema
    missing: tuple[str, ...]
    key: tuple[str, ...] = ()
    time: str = ""
    naive: bool = False
    order: Literal["", "file"] = ""
    strategy: Literal["time", "random", "group"] = "random"
    group: str = ""
    duplicates: Literal["together", "apart"] = "together"
    categories: dict[str, str] = field(default_factory=dict)
    drop: dict[str, str] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def informative_columns(self) -> tuple[str, ...]:
        """The columns that may predict the target: all but dropped ones and those that only name rows."""
        named = self.key if len(self.key) == 1 and self.key != (self.time,) else ()
        out = {self.aim.target, self.group, *self.drop, *named}
        return tuple(name for name in self.schema.names if name not in out)
