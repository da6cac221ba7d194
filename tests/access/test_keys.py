"""API keys from their issue to their end, on a real registry: what they may do, how long, and what is kept of them."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.inference.access.key_text import KeyText
from services.inference.access.rates import Rates
from tests.access.conftest import OPERATOR, Bench, bearer, eventually, gateway
from tidemill.bus import AccessKeys
from tidemill.contracts.access import Rate, parse_rate
from tidemill.records.schema import KeyIssued, KeyRevoked


async def issue(http: httpx.AsyncClient, project: str = "ours", **wanted: Any) -> dict[str, Any]:
    document = {"name": "测试", "scopes": ["read"]} | wanted
    answer = await http.post("/v1/keys", json=document, headers=bearer(OPERATOR, project))
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


async def asks(http: httpx.AsyncClient, key: str, path: str = "/v1/models") -> httpx.Response:
    return await http.get(path, headers=bearer(key))


async def status(http: httpx.AsyncClient, key: str) -> int:
    return (await asks(http, key)).status_code


async def refused(http: httpx.AsyncClient, key: str) -> bool:
    return await status(http, key) == 401


async def test_a_key_may_what_its_scopes_say(bench: Bench, http: httpx.AsyncClient) -> None:
    key = (await issue(http))["key"]
    found = await asks(http, key)
    assert (found.status_code, [one["name"] for one in found.json()]) == (200, ["model-ours"])
    forbidden = await http.post("/v1/models/model-ours:predict", json={"instances": ["好"]}, headers=bearer(key))
    assert forbidden.status_code == 403
    assert 'error="insufficient_scope", scope="predict"' in forbidden.headers["www-authenticate"]
    assert "this needs predict" in forbidden.json()["detail"]
    predictor = (await issue(http, scopes=["predict"]))["key"]
    answer = await http.post("/v1/models/model-ours:predict", json={"instances": ["好"]}, headers=bearer(predictor))
    assert answer.json()["predictions"][0]["label"] == "positive"
    assert await status(http, predictor) == 403
    assert await status(http, (await issue(http, scopes=["admin"]))["key"]) == 200


async def test_what_is_not_a_key_is_refused_and_says_nothing(http: httpx.AsyncClient, caplog: Any) -> None:
    key = (await issue(http))["key"]
    with caplog.at_level("DEBUG"):
        for wrong in (key[:-1] + ("A" if key[-1] != "A" else "B"), KeyText.make(), "tm_x_y", key.upper(), "nothing"):
            answer = await asks(http, str(wrong))
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
            assert str(wrong) not in answer.text
    assert key[21:-1] not in caplog.text
    for scheme in ("Basic abc", "Bearer", ""):
        answer = await http.get("/v1/models", headers={"Authorization": scheme})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    twice = await http.get(
        "/v1/models", headers=[("Authorization", f"Bearer {key}"), ("Authorization", "Bearer other")]
    )
    assert (twice.status_code, twice.json()["type"]) == (400, "urn:tidemill:problem:repeated-header")


async def test_a_secret_is_shown_once_and_kept_nowhere(bench: Bench, http: httpx.AsyncClient) -> None:
    made = await issue(http, name="once")
    text = KeyText.parse(made["key"])
    assert text is not None
    secret = text.secret
    listed = await http.get("/v1/keys", headers=bearer(OPERATOR, "ours"))
    (view,) = [one for one in listed.json() if one["name"] == "once"]
    assert "key" not in view
    assert (view["key_id"], view["state"], view["issued_by"]) == (made["key_id"], "valid", "operator")
    chain = await bench.records.decisions("ours")
    issued = [one.decision for one in chain if isinstance(one.decision, KeyIssued)]
    (decision,) = [one for one in issued if one.grant.name == "once"]
    assert text.matches(decision.digest)
    for file in (*bench.folder.rglob("*"), *bench.nats.config.data_dir.rglob("*")):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file
    kept = bench.folder / "gateway" / "inference" / "access.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


async def test_a_revoked_key_is_refused_by_every_gateway(bench: Bench, http: httpx.AsyncClient, tmp_path: Path) -> None:
    made = await issue(http)
    async with gateway(bench.settings(tmp_path)) as other:
        assert await status(other, made["key"]) == 200
        gone = await http.delete(f"/v1/keys/{made['key_id']}", headers=bearer(OPERATOR, "ours"))
        assert (gone.status_code, gone.json()["detail"]) == (202, f"key {made['key_id']} is revoked")
        answer = await asks(http, made["key"])
        assert (answer.status_code, "it was revoked" in answer.json()["detail"]) == (401, True)
        await eventually(lambda: refused(other, made["key"]), "the other gateway to hear of it")
    again = await http.post(f"/v1/keys/{made['key_id']}:rotate", headers=bearer(OPERATOR, "ours"))
    assert (again.status_code, "revoked" in again.json()["detail"]) == (409, True)


async def test_a_rotated_key_is_taken_until_its_grace_is_over(bench: Bench, http: httpx.AsyncClient) -> None:
    old = await issue(http, scopes=["publish", "read"], rate="1000/s", expires_in="30d")
    answer = await http.post(f"/v1/keys/{old['key_id']}:rotate", json={"grace": 1.5}, headers=bearer(OPERATOR, "ours"))
    new = answer.json()
    assert (answer.status_code, new["replaces"], new["scopes"]) == (201, old["key_id"], ["read", "publish"])
    assert new["rate"] == {"requests": 1000, "seconds": 1.0}
    lasts = datetime.fromisoformat(new["ends_at"]) - datetime.now(UTC)
    assert timedelta(days=29) < lasts <= timedelta(days=30)
    assert {await status(http, one["key"]) for one in (old, new)} == {200}
    await eventually(lambda: refused(http, old["key"]), "the grace to be over")
    assert f"replaced by key {new['key_id']}" in (await asks(http, old["key"])).json()["detail"]
    assert await status(http, new["key"]) == 200


async def test_a_key_ends_by_itself(http: httpx.AsyncClient) -> None:
    made = await issue(http, expires_in=1.0)
    await eventually(lambda: refused(http, made["key"]), "its end")
    assert "it ended at" in (await asks(http, made["key"])).json()["detail"]


async def test_a_key_of_one_project_manages_its_own_keys_alone(http: httpx.AsyncClient) -> None:
    admin = (await issue(http, scopes=["admin"]))["key"]
    foreign = await issue(http, "theirs")
    own = await http.post("/v1/keys", json={"name": "mine", "scopes": ["read"]}, headers=bearer(admin))
    assert own.status_code == 201
    listed = [one["key_id"] for one in (await http.get("/v1/keys", headers=bearer(admin))).json()]
    assert own.json()["key_id"] in listed
    assert foreign["key_id"] not in listed
    for method, path in (("DELETE", ""), ("POST", ":rotate")):
        answer = await http.request(method, f"/v1/keys/{foreign['key_id']}{path}", headers=bearer(admin))
        missing = await http.request(method, f"/v1/keys/{'0' * 16}{path}", headers=bearer(admin))
        assert (answer.status_code, missing.status_code) == (404, 404)
        assert answer.json()["detail"].replace(foreign["key_id"], "") == missing.json()["detail"].replace("0" * 16, "")
    named = await http.get("/v1/keys", headers=bearer(admin, "theirs"))
    assert (named.status_code, named.json()["type"]) == (403, "urn:tidemill:problem:foreign-project")


async def test_a_rate_is_kept_and_the_wait_is_said(http: httpx.AsyncClient) -> None:
    key = (await issue(http, rate="3/d"))["key"]
    answers = [await asks(http, key) for _ in range(5)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429, 429]
    limited = answers[-1]
    assert 0 < int(limited.headers["retry-after"]) <= 86400 // 3
    assert limited.json()["type"] == "urn:tidemill:problem:rate-limited"


async def test_a_key_may_have_a_smaller_body_than_others(bench: Bench, http: httpx.AsyncClient) -> None:
    key = (await issue(http, scopes=["predict", "publish"], body_bytes=200))["key"]

    async def chunks() -> Any:
        for _ in range(30):
            yield b" " * 10

    path = "/v1/models/model-ours:predict"
    assert (await http.post(path, json={"instances": ["好"]}, headers=bearer(key))).status_code == 200
    for body in ({"content": b" " * 300}, {"content": chunks()}):
        assert (await http.post(path, headers=bearer(key), **body)).status_code == 413
    files = {"file": ("a.csv", b"text,label\n" * 30)}
    upload = await http.post("/v1/datasets", data={"name": "x"}, files=files, headers=bearer(key))
    assert (upload.status_code, "200 bytes" in upload.json()["detail"]) == (413, True)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["root"]}, "'read', 'predict', 'publish' or 'admin'"),
        ({"rate": "many"}, "10/s"),
        ({"rate": "0/s"}, "10/s"),
        ({"expires_in": "-1"}, "90"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"project": "theirs"}, "project"),
        ({"body_bytes": 0}, "body_bytes"),
    ],
)
async def test_a_wrong_wish_is_refused_in_words(http: httpx.AsyncClient, wanted: dict[str, Any], said: str) -> None:
    document = {"name": "x", "scopes": ["read"]} | wanted
    answer = await http.post("/v1/keys", json=document, headers=bearer(OPERATOR))
    assert (answer.status_code, said in answer.json()["detail"]) == (400, True), answer.text


async def test_keys_come_back_from_the_chain_and_revoked_ones_stay_out(
    bench: Bench, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    good, bad = [await issue(http) for _ in range(2)]
    await http.delete(f"/v1/keys/{bad['key_id']}", headers=bearer(OPERATOR, "ours"))
    before = await AccessKeys(bench.bus).all()
    await bench.bus.jetstream.delete_stream("KV_access")

    async def restored() -> bool:
        try:
            return await AccessKeys(bench.bus).all() == before
        except Exception:
            return False

    await eventually(restored, "the registry to make the bucket again")
    assert (await status(http, good["key"]), await status(http, bad["key"])) == (200, 401)
    async with gateway(bench.settings(tmp_path)) as fresh:  # one that has never heard of either
        assert (await status(fresh, good["key"]), await status(fresh, bad["key"])) == (200, 401)


async def test_a_command_that_comes_twice_decides_once(bench: Bench) -> None:
    from services.registry.access import Access
    from tidemill.contracts import IssueKey, KeyGrant, RevokeKey, RotateKey

    access = Access(bench.bus, bench.records)
    made, next_one = KeyText.make(), KeyText.make()
    issued = IssueKey(
        project="twice", actor="key:0123", key_id=made.key_id, digest=made.digest,
        grant=KeyGrant(name="n", scopes=("read",)),
    )  # fmt: skip
    until = datetime.now(UTC) + timedelta(hours=1)
    rotated = RotateKey(project="twice", key_id=made.key_id, by=next_one.key_id, digest=next_one.digest, until=until)
    revoked = RevokeKey(project="twice", actor="oidc:张伟", key_id=made.key_id)
    for _ in range(2):
        await access.issue(issued)
    for _ in range(2):
        await access.rotate(rotated)
    for _ in range(2):
        await access.revoke(revoked)
    chain = [record.decision for record in await bench.records.decisions("twice")]
    assert [type(one) for one in chain] == [KeyIssued, KeyIssued, KeyRevoked]
    assert [one.actor for one in chain if isinstance(one, KeyIssued | KeyRevoked)] == ["key:0123", "local", "oidc:张伟"]
    known = await AccessKeys(bench.bus).all()
    ended = known["twice", made.key_id]
    assert (ended.ended_because, ended.ended_at) == ("revoked", (await bench.records.decisions("twice"))[-1].at)
    assert known["twice", next_one.key_id].ended_at is None


def test_a_bucket_fills_up_again_and_no_further() -> None:
    now = [0.0]
    rates = Rates(lambda: now[0])
    rate = Rate(requests=2, seconds=10)
    assert [rates.wait("a", rate) for _ in range(3)] == [None, None, 5]
    assert rates.wait("b", rate) is None
    now[0] = 4.0
    assert rates.wait("a", rate) == 1
    now[0] = 5.0
    assert [rates.wait("a", rate) for _ in range(2)] == [None, 5]
    now[0] = 1000.0
    assert [rates.wait("a", rate) for _ in range(3)] == [None, None, 5]
    assert rates.wait("a", Rate(requests=5, seconds=1)) is None, "another rate is another bucket"


@pytest.mark.parametrize(("text", "seconds"), [("10/s", 1), (" 600 / m", 60), ("7/H", 3600), ("5/d", 86400)])
def test_rates_as_people_write_them(text: str, seconds: int) -> None:
    rate = parse_rate(text)
    assert rate.seconds == seconds
    assert str(rate) == text.replace(" ", "").lower()
