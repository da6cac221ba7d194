"""A dataset's address, given over HTTP, that leads into the network or onto the machine of the platform: not asked."""

from __future__ import annotations

from typing import Any

import pytest

from services.ingest.sources.policy import SourcePolicy
from tests.ingest.test_sources import fetched, web  # noqa: F401
from tidemill.errors import InvalidInput

METADATA = (
    "http://169.254.169.254/latest/meta-data/",
    "http://0xa9fea9fe/latest/meta-data/",
    "http://2852039166/latest/meta-data/",
    "http://0251.0376.0251.0376/",
    "http://[::ffff:169.254.169.254]/latest/meta-data/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[fe80::1%25eth0]/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://168.63.129.16/machine",
    "http://100.100.100.200/latest/meta-data/",
    "http://user@169.254.169.254:80/",
    "http://169.254.169.254.@127.0.0.1/",
    "http://0/",
    "http://[::]/",
)
SCHEMES = (
    "file:///etc/passwd", "FILE:///etc/passwd", "file://localhost/etc/passwd", "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/stat", "ftp://127.0.0.1/x", "ldap://127.0.0.1/x", "jar:http://127.0.0.1!/x",
    "unix:/var/run/docker.sock", "data:text/csv,a", "http+unix://%2Fvar%2Frun%2Fdocker.sock/", "view-source:http://a/",
    "s3://bucket/key?endpoint=http://169.254.169.254", "s3://169.254.169.254/latest", "hf://datasets/../../etc/passwd",
    "sqlite:////etc/passwd", "postgresql://127.0.0.1:5432/postgres",
)  # fmt: skip


@pytest.mark.parametrize("uri", METADATA + SCHEMES)
def test_an_address_of_the_platforms_own_network_or_machine_is_not_read(fetched: Any, uri: str) -> None:  # noqa: F811
    with pytest.raises(InvalidInput) as refusal:
        fetched(uri, origin="http")
    assert "root:" not in str(refusal.value)


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/", "http://[::ffff:127.0.0.1]/", "file:///etc/passwd", "gopher://127.0.0.1/_x"]
)
def test_a_redirect_leads_there_no_more_than_an_address(
    fetched: Any, web: Any, monkeypatch: pytest.MonkeyPatch, target: str  # noqa: F811
) -> None:  # fmt: skip
    """The first server is a public one, as far as ingest can tell; what it redirects to is looked at all the same."""
    from services.ingest.sources import addresses

    judged = addresses.is_public
    monkeypatch.setattr(addresses, "is_public", lambda one: one == "127.0.0.1" or judged(one))
    with pytest.raises(InvalidInput):
        fetched(f"{web.url}/to={target}", origin="http", policy=SourcePolicy())
    assert len(web.seen) == 1
