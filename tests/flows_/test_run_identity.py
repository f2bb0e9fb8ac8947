from __future__ import annotations

from hashlib import sha256

import pytest

from treadle.flows.train.run import key_of, run_name


def test_a_run_on_the_cpu_keeps_the_key_that_earlier_versions_gave_it() -> None:
    name = run_name("rows 3, labels 1", "d1g3st", 7, "cpu")
    assert key_of(name, 1) == sha256(b"rows 3, labels 1|d1g3st|7|1").hexdigest()[:16]


@pytest.mark.parametrize(
    "other",
    [("v2", "d", 0, "cpu"), ("v1", "e", 0, "cpu"), ("v1", "d", 1, "cpu"), ("v1", "d", 0, "cuda")],
    ids=["data", "config", "seed", "device"],
)
def test_data_config_seed_and_device_make_another_run(other: tuple[str, str, int, str]) -> None:
    assert run_name("v1", "d", 0, "cpu") != run_name(*other)
