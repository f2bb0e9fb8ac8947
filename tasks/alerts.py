"""Alerts: the receivers, the cases that they are notified of, and which cases are new."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Collection

AlertKind = Literal["failed", "quarantine", "promotion", "stale", "config"]
KINDS: tuple[AlertKind, ...] = get_args(AlertKind)

NAME = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")


class AlertsSpec(BaseModel):
    """Where alerts go and what they are about. Addresses hold secrets, so the file only names their variables."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    to: tuple[str, ...] = Field(
        default=(),
        description="receivers of alerts: env:NAME, where the environment's NAME is an address as Apprise has it",
    )
    about: tuple[AlertKind, ...] = Field(default=KINDS, description="kinds of alerts that are sent")
    stale_after_hours: float | None = Field(
        None, gt=0, description="data is stale when no file with rows came for so many hours"
    )

    @field_validator("to", mode="before")
    @classmethod
    def _only_names(cls, to: object) -> object:
        """Refuse anything else without repeating it: it may be an address with its password."""
        if isinstance(to, list | tuple) and all(isinstance(one, str) and NAME.fullmatch(one) for one in to):
            return tuple(to)
        details = {
            "key": "alerts.to",
            "message": "holds something else than names of variables; an address may hold a password and stays outside",
            "allowed": 'a list such as ["env:ALERTS_MAIL"], with the address in the environment variable ALERTS_MAIL',
        }
        raise PydanticCustomError("clash", "{message}", details)

    @property
    def receivers(self) -> tuple[str, ...]:
        """The variables that hold the addresses, each once."""
        return tuple(dict.fromkeys(one.removeprefix("env:") for one in self.to))


class Case(NamedTuple):
    """One thing that needs a person: the same `id` while it lasts, another where it recurs."""

    kind: str
    id: str


class News(NamedTuple):
    """Cases of which a receiver is to be notified, and cases of which it was notified that are over."""

    new: frozenset[Case]
    over: frozenset[Case]


def news(now: Collection[Case], notified: Collection[Case], unsure: Collection[Case] = ()) -> News:
    """The cases of `now` of which the receiver was not `notified`, and the notified ones that are over.

    A case that is over is sent again when it recurs; an `unsure` case, of unknown state, is not over.
    """
    return News(frozenset(now) - frozenset(notified), frozenset(notified) - frozenset(now) - frozenset(unsure))
