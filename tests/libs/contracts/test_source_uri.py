"""A password never stands in a dataset's URI, however it is written; other signs do not look like one."""

from __future__ import annotations

import pytest

from tidemill.contracts.source_uri import check_secrets


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://user:secret@host/db",
        "postgresql://user:sec#ret@host/db",
        "postgresql://user:sec?ret@host/db",
        "postgresql://user:sec/ret@host/db",
        "postgresql+psycopg://:secret@host/db",
        "postgresql://user@host/db?password=secret",
        "postgresql://user@host/db#here?password=secret",
    ],
)
def test_a_password_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(ValueError, match="holds a password") as refused:
        check_secrets(uri)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://user@host:5432/db?password=env:TIDEMILL_DATABASE_SHOP",
        "s3://bucket/2026:01@noon.csv",
        "sqlite:////data/a:b@c.db",
        "hf://datasets/owner/name@main/a:b.csv",
    ],
)
def test_what_is_no_password_is_let_through(uri: str) -> None:
    assert check_secrets(uri) == uri
