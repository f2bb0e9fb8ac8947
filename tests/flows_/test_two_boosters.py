"""A dated pipeline's versions: what is judged, what serves, and what it is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tests.projects import inbox, project
from treadle.flows import train
from treadle.flows.context.workplace import open_workplace
from treadle.flows.train.opponent import fitted_by
from treadle.tasks import bundle
from treadle.tasks.config.load import load_config

if TYPE_CHECKING:
    from datetime import date

    from treadle.flows.train import TrainResult
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

pytestmark = pytest.mark.usefixtures("prefect_server")

NAME = "parcels"


def orders(days: range, seed: int) -> pd.DataFrame:
    """Ten orders a day; whether one comes late hangs on weight and distance, and on both together."""
    draw = np.random.default_rng(seed)
    rows = 10 * len(days)
    weight, distance = draw.normal(size=rows), draw.normal(size=rows)
    late = weight + distance * (weight > 0) + draw.normal(size=rows) * 0.3 > 0.3
    return pd.DataFrame(
        {
            "Order": [f"O{days[0] * 10 + number:06d}" for number in range(rows)],
            "Sent": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.repeat(list(days), 10), "D"),
            "Weight": weight.round(4),
            "Distance": distance.round(4),
            "Late": np.where(late, "yes", "no"),
        }
    )


def trained(settings: Settings, config: PipelineConfig) -> TrainResult:
    result = train.run_train(settings, config, trials=1, budget=60)
    assert isinstance(result, train.TrainResult)
    return result


def bring(settings: Settings, days: range, seed: int) -> None:
    orders(days, seed).to_csv(inbox(settings.home, NAME) / f"{days[0]}.csv", index=False)


def day(number: int) -> date:
    return (pd.Timestamp("2024-01-01") + pd.Timedelta(number, "D")).date()


def test_a_dated_challenger_meets_the_champions_serving_booster_or_its_recipe(home) -> None:
    settings, config = project(home, orders(range(80), seed=1), "Late", NAME, trees=True)
    assert config.split.strategy == "time"
    first = trained(settings, config)
    assert (first.decision, first.promoted) == ("PROMOTE", True)
    place = open_workplace(str(settings.home), NAME)
    folder = place.stores.bundle_folder(first.version)
    facts, recipe = bundle.read_facts(folder), bundle.read_recipe(folder)
    assert recipe is not None
    assert recipe.refit == "all"
    assert recipe.serving_rounds > recipe.rounds
    assert str(facts.trained_until).startswith(str(day(79))), "the serving booster knows the newest day"
    assert str(facts.judged_from).startswith(str(day(64)))
    judged, serving = (place.model(first.version, part=part) for part in ("judged", "serving"))
    assert judged.booster.num_boosted_rounds() == recipe.rounds
    assert serving.booster.num_boosted_rounds() == recipe.serving_rounds
    assert place.model(first.version).booster.save_raw() == serving.booster.save_raw()

    bring(settings, range(80, 83), seed=2)  # too few newer rows to judge by
    second = trained(settings, config)
    assert second.judged_rows > 100, "the whole holdout judges"
    assert any("version 1's recipe, fitted on the challenger's training rows" in reason for reason in second.reasons), (
        second.reasons
    )

    bring(settings, range(83, 95), seed=3)  # the usual holdout would begin on day 76
    third = trained(settings, config)
    champion = 2 if second.promoted else 1
    until = day(82) if second.promoted else day(79)
    named = [reason for reason in third.reasons if reason.startswith("compared: ")]
    assert len(named) == 1
    assert f"version {champion}'s serving booster, trained until {until}" in named[0]
    newest = [index for index in range(95) if day(index) > until]
    assert third.judged_rows == 10 * len(newest)
    facts = bundle.read_facts(place.stores.bundle_folder(third.version))
    assert str(facts.judged_from).startswith(str(min(map(day, newest)))), "the cut lies where the champion's rows end"
    own = fitted_by(place, third.version, "judged")
    assert not isinstance(own, str)
    last = max(own.rows["Sent"].to_pylist())
    assert str(last).startswith(str(until)), "the challenger knows all that the champion knows"


def test_without_refit_the_judged_booster_serves(home) -> None:
    settings, _ = project(home, orders(range(60), seed=4), "Late", NAME)
    file = settings.home / "pipelines" / f"{NAME}.toml"
    file.write_text(f'{file.read_text()}\n[model]\nrefit = "none"\n')
    config = load_config(file)
    result = trained(settings, config)
    place = open_workplace(str(settings.home), NAME)
    folder = place.stores.bundle_folder(result.version)
    assert (folder / "judged" / "model.ubj").read_bytes() == (folder / "serving" / "model.ubj").read_bytes()
    assert (folder / "judged" / "spec.json").read_bytes() == (folder / "serving" / "spec.json").read_bytes()
    recipe, facts = bundle.read_recipe(folder), bundle.read_facts(folder)
    assert recipe is not None
    assert (recipe.refit, recipe.serving_rounds) == ("none", recipe.rounds)
    assert str(facts.trained_until) < str(facts.judged_from)
