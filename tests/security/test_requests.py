"""Requests made to get more than their caller may: more scopes, another's things, more memory than they weigh."""

from __future__ import annotations

import gzip
import hmac
import zlib
from typing import Any

import httpx
import pytest

from services.inference.access import authentication, key_text
from services.inference.access.key_text import KeyText
from services.inference.openapi import OPERATIONS
from services.inference.web.operations import Operation
from tests.access.conftest import OPERATOR, Bench, bearer
from tests.access.test_keys import issue
from tests.access.test_projects import address, named

BODY = b" " * (12 << 20)
BODIES = [one for one in OPERATIONS if one.takes is not None]


@pytest.mark.parametrize("scope", ["read", "predict", "publish"])
async def test_a_key_cannot_get_itself_more_than_it_has(bench: Bench, http: httpx.AsyncClient, scope: str) -> None:
    mine = await issue(http, "ours", scopes=[scope])
    other = await issue(http, "ours", scopes=["admin"])
    known = await bench.records.decisions("ours")
    for method, path, wanted in (
        ("POST", "/v1/keys", {"name": "more", "scopes": ["admin"]}),
        ("POST", "/v1/keys", {"name": "the same", "scopes": [scope]}),
        ("POST", f"/v1/keys/{mine['key_id']}:rotate", {"grace": "P365D"}),
        ("POST", f"/v1/keys/{other['key_id']}:rotate", {}),
        ("DELETE", f"/v1/keys/{other['key_id']}", None),
        ("GET", "/v1/keys", None),
        ("GET", "/v1/audit", None),
    ):
        answer = await http.request(method, path, json=wanted, headers=bearer(mine["key"]))
        assert answer.status_code == 403, (method, path)
    assert len(await bench.records.decisions("ours")) == len(known)


async def test_no_field_makes_a_key_of_another_project_or_of_the_platform(http: httpx.AsyncClient) -> None:
    admin = (await issue(http, "ours", scopes=["admin"]))["key"]
    for more in ({"project": "theirs"}, {"key_id": "0" * 16}, {"digest": "0" * 64}, {"actor": "operator"}):
        wanted = {"name": "more", "scopes": ["read"], **more}
        answer = await http.post("/v1/keys", json=wanted, headers=bearer(admin))
        assert answer.status_code == 400, answer.text
    for scopes in (["root"], ["*"], [], ["admin "], "admin"):
        answer = await http.post("/v1/keys", json={"name": "more", "scopes": scopes}, headers=bearer(admin))
        assert answer.status_code == 400, answer.text
    answer = await http.post("/v1/keys", json={"name": "n", "scopes": ["read"]}, headers=bearer(admin, "theirs"))
    assert answer.status_code == 403, answer.text


async def test_a_digest_that_was_read_is_no_key(bench: Bench, http: httpx.AsyncClient) -> None:
    """Whoever reads the bucket has digests of secrets: none of them lets in."""
    made = await issue(http, "ours", scopes=["admin"])
    digest = KeyText.parse(made["key"])
    assert digest is not None
    for text in (f"tm_{made['key_id']}_{digest.digest}", digest.digest, f"tm_{made['key_id']}_", made["key_id"]):
        assert (await http.get("/v1/models", headers=bearer(text))).status_code == 401


async def test_secrets_are_compared_in_constant_time(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not measured: looked at. What a caller sends meets a secret in ``hmac.compare_digest`` and nowhere else."""
    compared: list[tuple[Any, Any]] = []

    class Watched:
        @staticmethod
        def compare_digest(left: Any, right: Any) -> bool:
            compared.append((left, right))
            return hmac.compare_digest(left, right)

    monkeypatch.setattr(authentication, "hmac", Watched)
    monkeypatch.setattr(key_text, "hmac", Watched)
    key = await issue(http, "ours")
    compared.clear()
    wrong = key["key"][:-1] + ("A" if key["key"][-1] != "A" else "B")
    assert (await http.get("/v1/models", headers=bearer(wrong))).status_code == 401
    operator, digest = compared
    assert operator[1] == OPERATOR.encode()
    assert [len(one) for one in digest] == [64, 64], "digests, which are of one length"


@pytest.mark.parametrize("operation", BODIES, ids=named)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
async def test_a_body_that_unpacks_to_more_than_may_be_is_refused(
    bench: Bench, http: httpx.AsyncClient, operation: Operation, encoding: str
) -> None:
    """Twelve kilobytes that stand for twelve megabytes, which is more than any operation takes as a body."""
    bomb = zlib.compress(BODY, 9) if encoding == "deflate" else gzip.compress(BODY, 9)
    assert len(bomb) < 16 << 10
    path = address(operation, bench.mine, "0" * 16)
    headers = bearer(OPERATOR, "ours") | {"Content-Encoding": encoding, "Content-Type": "application/json"}
    answer = await http.request(operation.method, path, content=bomb, headers=headers)
    assert answer.status_code in ({413, 404, 409} if encoding in ("gzip", "deflate") else {415, 404, 409}), answer.text


async def test_an_answer_does_not_say_where_the_store_is(bench: Bench, http: httpx.AsyncClient) -> None:
    """Of what is on record and not in the store: the error of the store itself names a folder or a host."""
    path = f"/v1/runs/{bench.mine.run_id}/artifacts/ingested/rows.txt"
    answer = await http.get(path, headers=bearer(OPERATOR, "ours"))
    assert answer.status_code == 404, answer.text
    assert "the store; the gateway's log says more" in answer.json()["detail"]
    assert str(bench.folder) not in answer.text
