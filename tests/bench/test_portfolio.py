"""The portfolio's order follows from the measurements as its words say."""

from __future__ import annotations

import pytest

from tests.bench import portfolio


def results(losses: dict[str, dict[str, float]], seconds: dict[str, float]) -> list[portfolio.Measurement]:
    return [
        portfolio.Measurement(sample, "small", setting, loss, 10, seconds[setting], False)
        for sample, by in losses.items()
        for setting, loss in by.items()
    ]


MEASURED = results(
    {"p": {"a": 1.0, "b": 2.0, "c": 3.0}, "q": {"a": 9.0, "b": 5.0, "c": 4.0}, "r": {"a": 1.0, "b": 1.5, "c": 2.0}},
    {"a": 100.0, "b": 1.0, "c": 10.0},
)


def test_regret_is_in_units_of_the_median_settings_and_at_most_two() -> None:
    found = portfolio.regrets(MEASURED)
    assert found["a"] == {"p": 0.0, "q": 2.0, "r": 0.0}
    assert found["b"] == {"p": 1.0, "q": 1.0, "r": 1.0}
    assert found["c"] == {"p": 2.0, "q": 0.0, "r": 2.0}


def test_a_sample_that_lacks_a_setting_is_left_out() -> None:
    found = portfolio.regrets([*MEASURED, *results({"s": {"a": 1.0}}, {"a": 1.0})])
    assert set(found["a"]) == {"p", "q", "r"}


def test_the_greedy_order_adds_what_the_others_lack() -> None:
    assert portfolio.greedy(portfolio.regrets(MEASURED), 2) == ["a", "c"]


def test_by_cost_a_cheap_setting_comes_first() -> None:
    assert portfolio.greedy(portfolio.regrets(MEASURED), 3, portfolio.costs(MEASURED))[0] == "b"


def test_costs_are_multiples_of_the_median_setting() -> None:
    assert portfolio.costs(MEASURED)["a"]["p"] == pytest.approx(10.0)


@pytest.mark.parametrize(("rate", "rounds"), [(0.3, 25), (0.05, 60), (0.0072, 200)])
def test_patience_fits_the_rate(rate: float, rounds: int) -> None:
    assert portfolio.patience(rate) == rounds


def test_where_nothing_lowers_the_regret_the_best_alone_comes_next() -> None:
    regret = {"a": {"p": 0.0}, "b": {"p": 2.0}, "c": {"p": 1.0}}
    assert portfolio.greedy(regret, 3) == ["a", "c", "b"]


def test_the_held_out_regret_is_that_of_an_order_chosen_without_the_table() -> None:
    regret = {"a": {"p@1": 0.0, "p@2": 0.0, "q@1": 0.5}, "b": {"p@1": 1.0, "p@2": 2.0, "q@1": 0.4}}
    assert portfolio.held_out(regret, 2) == pytest.approx([(1.0 + 2.0 + 0.5) / 3, (0.0 + 0.0 + 0.4) / 3])
