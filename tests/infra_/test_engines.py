from __future__ import annotations

import pytest

from treadle.infra import settings
from treadle.infra.databases import engines
from treadle.tasks.errors import UsageError


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "postgresql+psycopg://ada:s3cret@db.example:5432/ledger",
            "postgresql+psycopg://ada:***@db.example:5432/ledger",
        ),
        ("postgresql://db/ledger?user=ada&password=s3cret", "postgresql://db/ledger?user=ada"),
        ("postgresql://db/ledger?sslpassword=s3cret", "postgresql://db/ledger"),
        ("sqlite:////srv/home/mlruns/treadle.db", "sqlite:////srv/home/mlruns/treadle.db"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert engines.masked_url(url) == shown


@pytest.mark.parametrize("url", ["postgresql://ada:s3@cr:et@db/ledger", "no address s3cret", ""])
def test_an_address_that_cannot_be_read_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        engines.make_engine(url)
    assert "cannot be read" in engines.trouble(url)
    for word in ("s3", "cr", "et@"):
        assert word not in raised.value.message
    assert raised.value.__cause__ is None


def test_a_login_with_an_at_sign_in_it_is_not_shown() -> None:
    assert settings.without_secrets("http://ada:s3@cret@mlflow.example/api") == "http://mlflow.example/api"
