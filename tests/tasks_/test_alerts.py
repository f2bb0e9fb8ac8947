"""Whom a pipeline's file may name, and what is news to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.tasks.alerts import KINDS, AlertsSpec, Case, news
from treadle.tasks.config.load import load_config
from treadle.tasks.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

FILE = 'name = "shop"\n[data]\nsource = "in"\ntarget = "y"\ntask = "binary"\n[alerts]\n'
SECRET = "canary-5d21"
CASES = st.sets(st.builds(Case, st.sampled_from(KINDS), st.text(max_size=2)), max_size=6)


def loaded(folder: Path, alerts: str) -> AlertsSpec:
    file = folder / "shop.toml"
    file.write_text(f"{FILE}{alerts}\n")
    return load_config(file).alerts


def test_variables_are_named_and_each_counts_once(tmp_path: Path) -> None:
    spec = loaded(tmp_path, 'to = ["env:MAIL", "env:chat_1", "env:MAIL"]\nstale_after_hours = 30')
    assert (spec.receivers, spec.stale_after_hours, spec.about) == (("MAIL", "chat_1"), 30, KINDS)
    assert AlertsSpec().receivers == ()


@pytest.mark.parametrize(
    "alerts",
    [
        f'to = ["mailto://me:{SECRET}@example.org"]',
        f'to = ["env:MAIL", "json://{SECRET}"]',
        f'to = "slack://{SECRET}/b/c"',
        f'to = ["env:{SECRET}"]',  # no name of a variable
        f'to = {{ mail = "{SECRET}" }}',
        f'to = [["{SECRET}"]]',
        f'url = "json://{SECRET}"',
    ],
)
def test_an_address_in_the_file_is_refused_and_not_repeated(tmp_path: Path, alerts: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, alerts)
    assert SECRET not in str(caught.value)
    assert caught.value.key.startswith("alerts.")
    assert caught.value.where.endswith("shop.toml:7")
    if caught.value.key == "alerts.to":
        assert "env:ALERTS_MAIL" in caught.value.fix


def test_alerts_are_no_part_of_what_training_obeys(tmp_path: Path) -> None:
    digests = set()
    for alerts in ("", 'to = ["env:MAIL"]\nabout = ["stale"]'):
        loaded(tmp_path, alerts)
        digests.add(load_config(tmp_path / "shop.toml").digest())
    assert len(digests) == 1


@given(CASES, CASES, CASES)
def test_what_is_so_is_told_once_and_what_is_over_may_be_told_again(
    now: set[Case], told: set[Case], unsure: set[Case]
) -> None:
    found = news(now, told, unsure)
    known = (told | found.new) - found.over
    assert known == now | (told & unsure)
    assert not found.new & told
    assert news(now, known, unsure) == (frozenset(), frozenset())
