"""Bearer tokens of a real issuer over real HTTPS: who is let in as whom, and what every forgery gets."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from services.inference.access import issuer_keys
from services.inference.access.issuer_keys import FLOOR_SECONDS, FRESH_SECONDS, USABLE_SECONDS, IssuerKeys
from services.inference.settings import OidcSettings
from tests.access.conftest import OPERATOR, Bench, bearer, eventually, gateway
from tidemill.errors import TransientError
from tidemill.testing.certificates import Authority
from tidemill.testing.issuer import Issuer

RSA = RSAKey.generate_key(2048, auto_kid=True)
EC = ECKey.generate_key("P-256", auto_kid=True)
ED = OKPKey.generate_key("Ed25519", auto_kid=True)
STRANGER = RSAKey.generate_key(2048, auto_kid=True)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    secret = OctKey.generate_key(256, auto_kid=True)
    small = RSAKey.import_key(rsa.generate_private_key(65537, 1024))
    extra: list[dict[str, Any]] = [
        secret.as_dict(private=True),
        {**small.as_dict(private=False), "kid": "small"},
        {**STRANGER.as_dict(private=False), "use": "enc"},
        {"kty": "AKP", "kid": "later"},
        {"kty": "RSA", "kid": "broken"},
    ]
    made = Issuer(Authority(tmp_path_factory.mktemp("issuer")), keys=[RSA, EC, ED], extra=extra)
    with made.running():
        yield made


@pytest.fixture(scope="module")
async def http(bench: Bench, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    oidc = OidcSettings(issuer=issuer.url, audience="tidemill", ca=issuer.ca)
    async with gateway(bench.settings(oidc=oidc)) as client:
        yield client


async def asks(
    http: httpx.AsyncClient, token: str, path: str = "/v1/models", project: str | None = "ours"
) -> httpx.Response:
    return await http.get(path, headers=bearer(token, project))


@pytest.mark.parametrize(
    ("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA"), (ED, "Ed25519")], ids=lambda x: str(x)[:8]
)
async def test_a_token_of_the_issuer_lets_in(http: httpx.AsyncClient, issuer: Issuer, key: Any, algorithm: str) -> None:
    answer = await asks(http, issuer.token(key, algorithm))
    assert (answer.status_code, [one["name"] for one in answer.json()]) == (200, ["model-ours"])
    several = await asks(
        http, issuer.token(key, algorithm, aud=["other", "tidemill"], headers={"typ": "at+jwt", "x": 1})
    )
    assert several.status_code == 200


async def test_scopes_and_projects_are_claims(bench: Bench, http: httpx.AsyncClient, issuer: Issuer) -> None:
    assert (await asks(http, issuer.token(RSA, scope="read admin openid"))).status_code == 403
    assert (await asks(http, issuer.token(RSA, scope=None))).status_code == 403
    assert (await asks(http, issuer.token(RSA, scope=["tidemill:admin"]), "/v1/keys")).status_code == 200
    bound = issuer.token(RSA, tidemill_project="ours")
    assert (await asks(http, bound, project=None)).json()[0]["name"] == "model-ours"
    assert (await asks(http, bound, project="theirs")).status_code == 403
    assert (await asks(http, bound, "/metrics", None)).json()["type"].endswith("one-project")
    assert (await asks(http, issuer.token(RSA), "/metrics")).status_code == 200
    several = issuer.token(RSA, tidemill_project=["ours", "theirs"])
    assert (await asks(http, several, project="theirs")).json()[0]["name"] == "model-theirs"
    unnamed = await asks(http, several, project=None)
    assert (unnamed.status_code, unnamed.json()["type"]) == (400, "urn:tidemill:problem:project-missing")
    for odd in ("", [], 7, ["../x"], [None], {"a": 1}):
        refused = await asks(http, issuer.token(RSA, tidemill_project=odd))
        assert (refused.status_code, "names no project" in refused.text) == (401, True), odd


async def test_the_subject_goes_on_record(bench: Bench, http: httpx.AsyncClient, issuer: Issuer) -> None:
    token = issuer.token(RSA, sub="张伟|7", scope="tidemill:publish")
    started = await http.post(
        "/v1/datasets", json={"name": "new", "uri": "https://example.org/d.csv"}, headers=bearer(token, "ours")
    )
    run = await bench.records.run("ours", started.json()["run_id"])
    assert run is not None
    assert run.actor == "oidc:张伟|7"


def forged(issuer: Issuer) -> dict[str, str]:
    """What an attacker may send, by what is wrong with it."""
    now = int(time.time())
    good = issuer.token(RSA)
    head, claims, signature = good.split(".")
    public_pem = RSA.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def part_of(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def part(document: Any) -> str:
        return part_of(json.dumps(document).encode())

    confused = f"{part({'alg': 'HS256', 'kid': RSA.kid})}.{claims}"
    critical = f"{part({'alg': 'RS256', 'kid': RSA.kid, 'crit': ['new'], 'new': 1})}.{claims}"
    admin = part({**json.loads(base64.urlsafe_b64decode(claims + "==")), "scope": "tidemill:admin"})
    return {
        "no signature": f"{part({'alg': 'none', 'kid': RSA.kid})}.{claims}.",
        "none in capitals": f"{part({'alg': 'NoNe', 'kid': RSA.kid})}.{claims}.",
        "no algorithm": f"{part({'kid': RSA.kid})}.{claims}.{signature}",
        "signature cut off": f"{head}.{claims}.",
        "claims exchanged": f"{head}.{admin}.{signature}",
        "public key as shared secret": f"{confused}.{part_of(hmac.digest(public_pem, confused.encode(), 'sha256'))}",
        "another algorithm of the family": issuer.token(RSA, "RS384"),
        "padding of another kind": issuer.token(RSA, "PS256"),
        "key of another kind": issuer.token(EC, "ES256", kid=RSA.kid),
        "a stranger's key under our id": issuer.token(STRANGER, kid=RSA.kid),
        "a stranger's key": issuer.token(STRANGER),
        "a stranger's key in its header": issuer.token(STRANGER, headers={"jwk": STRANGER.as_dict(private=False)}),
        "no key id": issuer.token(RSA, kid=None),
        "expired": issuer.token(RSA, exp=now - 60),
        "no end": issuer.token(RSA, exp=None),
        "end as text": issuer.token(RSA, exp=str(now + 300)),
        "not valid yet": issuer.token(RSA, nbf=now + 300),
        "issued in the future": issuer.token(RSA, iat=now + 300),
        "another issuer": issuer.token(RSA, iss="https://127.0.0.1"),
        "issuer with a slash": issuer.token(RSA, iss=issuer.url + "/"),
        "no issuer": issuer.token(RSA, iss=None),
        "another audience": issuer.token(RSA, aud="tidemill-test"),
        "no audience": issuer.token(RSA, aud=None),
        "no subject": issuer.token(RSA, sub=None),
        "subject that is no text": issuer.token(RSA, sub=7),
        "subject with a line break": issuer.token(RSA, sub="a\nb"),
        "subject without an end": issuer.token(RSA, sub="a" * 300),
        "critical header": f"{critical}.{part_of(RSA.private_key.sign(critical.encode(), PKCS1v15(), SHA256()))}",
        "too long": issuer.token(RSA, padding="a" * 20_000),
        "encrypted": "a.b.c.d.e",
        "not base64": "ä.ö.ü",
        "empty parts": "..",
        "claims that are a list": f"{head}.{part([1])}.{signature}",
    }  # fmt: skip


async def test_every_forgery_is_refused_in_words(http: httpx.AsyncClient, issuer: Issuer, caplog: Any) -> None:
    assert (await asks(http, issuer.token(RSA))).status_code == 200
    for what, token in forged(issuer).items():
        answer = await asks(http, token)
        assert answer.status_code == 401, f"{what}: {answer.status_code} {answer.text}"
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert "token is not taken: " in answer.json()["detail"]
        for piece in token.split("."):
            assert len(piece) < 12 or piece not in answer.text + caplog.text, f"{what}: it is repeated"
    assert not [one for one in caplog.records if one.exc_info]


async def test_clocks_may_differ_a_little(http: httpx.AsyncClient, issuer: Issuer) -> None:
    now = int(time.time())
    for claims in ({"exp": now - 15}, {"nbf": now + 15}, {"iat": now + 15}):
        assert (await asks(http, issuer.token(RSA, **claims))).status_code == 200


async def test_keys_and_tokens_work_beside_each_other(bench: Bench, http: httpx.AsyncClient, issuer: Issuer) -> None:
    admin = issuer.token(RSA, scope="tidemill:admin", tidemill_project="ours")
    made = await http.post("/v1/keys", json={"name": "k", "scopes": ["read"]}, headers=bearer(admin))
    assert (made.status_code, made.json()["issued_by"]) == (201, "oidc:user-1")
    assert (await asks(http, made.json()["key"], project=None)).status_code == 200
    assert (await asks(http, OPERATOR)).status_code == 200
    assert (await http.get("/v1/models")).status_code == 401


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_new_key_is_fetched_when_it_is_met_and_not_too_often(issuer: Issuer) -> None:
    clock = Clock()
    keys = IssuerKeys(issuer.url, ca=issuer.ca, clock=clock)
    before = issuer.fetched
    assert await keys.get(RSA.kid) is not None
    assert [await keys.get(kid) for kid in ("small", STRANGER.kid, "later", "broken", None)] == [None] * 5
    assert issuer.fetched == before + 1, "the floor holds"
    late = ECKey.generate_key("P-256", auto_kid=True)
    issuer.keys.append(late)
    assert await keys.get(late.kid) is None
    clock.now += FLOOR_SECONDS
    found = await asyncio.gather(*(keys.get(late.kid) for _ in range(20)))
    assert all(found)
    assert issuer.fetched == before + 2, "twenty at once ask once"
    issuer.keys.remove(late)
    clock.now += FRESH_SECONDS + 1
    assert await keys.get(late.kid) is not None, "nobody waits for a fetch that is due"

    async def withdrawn() -> bool:
        return await keys.get(late.kid) is None

    await eventually(withdrawn, "the withdrawn key to be gone")


async def test_an_issuer_that_is_away_is_waited_for_a_day(issuer: Issuer) -> None:
    clock = Clock()
    keys = IssuerKeys(issuer.url, ca=issuer.ca, clock=clock)
    issuer.down = True
    try:
        with pytest.raises(TransientError, match="cannot be fetched"):
            await keys.get(RSA.kid)
        issuer.down = False
        clock.now += FLOOR_SECONDS
        assert await keys.get(RSA.kid) is not None
        issuer.down = True
        clock.now += USABLE_SECONDS - 1
        assert await keys.get(RSA.kid) is not None
        clock.now += 2
        with pytest.raises(TransientError, match="tokens cannot be checked"):
            await keys.get(RSA.kid)
    finally:
        issuer.down = False


async def test_keys_come_from_whom_they_ought_to(issuer: Issuer, tmp_path: Path, monkeypatch: Any) -> None:
    others = Authority(tmp_path, "others")
    for wrong in (
        IssuerKeys(issuer.url, ca=others.file),
        IssuerKeys(issuer.url.replace("127.0.0.1", "localhost"), ca=issuer.ca),
        IssuerKeys(issuer.url + "/realm", ca=issuer.ca),
    ):
        with pytest.raises(TransientError):
            await wrong.get(RSA.kid)
    assert await IssuerKeys("urn:x", jwks_url=f"{issuer.url}/elsewhere", ca=issuer.ca).get(RSA.kid) is not None
    monkeypatch.setattr(issuer_keys, "_MOST_BYTES", 100)
    with pytest.raises(TransientError):
        await IssuerKeys(issuer.url, ca=issuer.ca).get(RSA.kid)


async def test_a_gateway_whose_issuer_is_away_says_so(bench: Bench, issuer: Issuer, tmp_path: Path) -> None:
    nobody = Issuer(issuer.authority, keys=[RSA])
    oidc = OidcSettings(issuer=nobody.url, audience="tidemill", ca=nobody.ca)
    async with gateway(bench.settings(tmp_path, oidc=oidc, api_key=None)) as http:
        answer = await asks(http, nobody.token(RSA))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await http.get("/v1/models")).status_code == 401, "an issuer alone closes the door"
