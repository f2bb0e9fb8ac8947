from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from treadle.tasks.backoff import Backoff

FIRST, MORE = st.floats(0.001, 100.0), st.floats(0.001, 1e5)


@given(FIRST, MORE, st.integers(1, 12) | st.just(100_000))
def test_pauses_begin_with_the_first_double_and_stop_at_the_longest(first: float, more: float, failures: int) -> None:
    backoff = Backoff(first, first + more)
    before, pause = backoff.pause(failures - 1), backoff.pause(failures)
    assert pause == min(first + more, 2 * before if failures > 1 else first)


def test_what_has_not_failed_is_not_kept_waiting() -> None:
    assert Backoff().pause(0) == 0.0
