"""FAULTS 28: a time without a zone is stored in UTC by the declared one, also where clocks change; or it is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.corner_shop import shop
from treadle.tasks.config.load import load_config
from treadle.tasks.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

TIMES = {
    "winter": ("2013-01-15 12:00:00", datetime(2013, 1, 15, 11, tzinfo=UTC)),
    "summer": ("2013-07-15 12:00:00", datetime(2013, 7, 15, 10, tzinfo=UTC)),
    "before the clocks go forward": ("2013-03-31 01:59:59", datetime(2013, 3, 31, 0, 59, 59, tzinfo=UTC)),
    "after they did": ("2013-03-31 03:00:00", datetime(2013, 3, 31, 1, tzinfo=UTC)),
    "an hour that never was": ("2013-03-31 02:30:00", datetime(2013, 3, 31, 1, 30, tzinfo=UTC)),
    "with an offset of its own": ("2013-07-15T12:00:00-04:00", datetime(2013, 7, 15, 16, tzinfo=UTC)),
}


@pytest.mark.parametrize("machine", ["UTC", "Asia/Tokyo"])
def test_naive_times_are_read_in_the_declared_zone_wherever_the_machine_is(
    home: Path, monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    monkeypatch.setenv("TZ", machine)
    opened = shop(home, "seen", at="TIMESTAMP WITH TIME ZONE")
    rows = "".join(f"a,{number},1,,{text}\n" for number, (text, _) in enumerate(TIMES.values()))
    opened.put(f"Shop,Order No,amount,Came Back,at\n{rows}", "in")
    labels = "".join(f"a,{number},yes,{text}\n" for number, (text, _) in enumerate(TIMES.values()))
    opened.put(f"Shop,Order No,Came Back,seen\n{labels}")
    opened.take_in()
    expected = [(number, moment) for number, (_, moment) in enumerate(TIMES.values())]
    assert opened.read("rows", '"Order No", "at"') == expected
    assert opened.read("labels", '"Order No", observed_at') == expected


def test_a_time_that_is_none_sends_its_row_to_quarantine(home: Path) -> None:
    opened = shop(home, "seen", at="TIMESTAMP WITH TIME ZONE")
    rows = "".join(f"a,{number},1,,2013-07-{number + 1:02d} 12:00\n" for number in range(28))
    opened.put(f"Shop,Order No,amount,Came Back,at\n{rows}a,99,1,,31.07.2013 12:00\n", "in")
    (batch,) = opened.take_in()
    assert (batch.accepted, batch.quarantined) == (28, 1)
    assert "31.07.2013" in str(opened.read("quarantine", "reason")[0][0])


def test_a_zone_that_nobody_knows_is_refused_with_its_line(home: Path) -> None:
    shop(home)
    file = home / "pipelines" / "shop.toml"
    file.write_text(file.read_text().replace("Europe/Berlin", "Europe/Berlim"))
    with pytest.raises(ConfigError, match=r"shop.toml:\d+: data.timezone: .*Europe/Berlim"):
        load_config(file)
