from __future__ import annotations

import pytest

from treadle.tasks import schedule


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("0 6 * * *", "0 6 * * *"),
        ("  */5   8-18 * * MON-fri ", "*/5 8-18 * * mon-fri"),
        ("0,30 0 1,15 jan-mar/2 *", "0,30 0 1,15 jan-mar/2 *"),
        ("5/10 * * * 7", "5/10 * * * 7"),
        ("0 0 29 2 *", "0 0 29 2 *"),
        ("0 0 31 2 mon", "0 0 31 2 mon"),
    ],
)
def test_cron_with_five_fields_is_a_schedule(text: str, kept: str) -> None:
    assert schedule.check_cron(text) == kept


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("daily", "1 fields"),
        ("0 6 * * * *", "6 fields"),
        ("60 * * * *", "minute '60'"),
        ("* 24 * * *", "hour '24'"),
        ("* * 0 * *", "day of month '0'"),
        ("* * * 13 *", "month '13'"),
        ("* * * mon *", "month 'mon'"),
        ("* * * * 8", "day of week '8'"),
        ("* * * * mon-", "day of week 'mon-'"),
        ("9-5 * * * *", "minute '9-5'"),
        ("*/0 * * * *", "minute '[*]/0'"),
        ("0 0 30 2 *", "day of month '30' .*in a month that has it"),
        ("0 0 31 apr,jun *", "day of month '31'"),
        ("1,,2 * * * *", "minute '1,,2'"),
        ("0 0 L * *", "day of month 'l'"),
        ("0 0 * * 5#2", "day of week '5#2'"),
    ],
)
def test_what_is_no_schedule_is_told_by_its_field(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        schedule.check_cron(text)
