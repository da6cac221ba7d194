"""Datasets of a Hugging Face hub, against a server that speaks the few endpoints of a hub that are used."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from services.ingest.sources import addresses
from services.ingest.sources.hub import HubAddress, parse_hub_address
from services.ingest.sources.policy import SourcePolicy
from tests.ingest.sources.conftest import Take
from tidemill.errors import InvalidInput, TransientError
from tidemill.jobs.report import SilentReport

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    ".gitattributes": b"* text",
    "README.md": b"read",
    "data/train-00000.parquet": b"PAR1 one",
    "data/训练 #2.csv": b"text,label\n",
    "data/deep/x.csv": b"a\n1\n",
}
REPOSITORY = "tide/reviews"


class Hub(BaseHTTPRequestHandler):
    """One dataset with the branches ``main`` and ``refs/convert/parquet``; ``elsewhere`` redirects downloads."""

    seen: list[tuple[str, str | None]]
    elsewhere: list[str]

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        asked = parse_qs(self.rfile.read(length).decode())
        self.seen.append((self.path, self.headers.get("Authorization")))
        path = unquote(urlsplit(self.path).path)
        api = f"/api/datasets/{REPOSITORY}"
        if path.startswith("/blob/"):
            self.send(200, FILES[path.removeprefix("/blob/")])
        elif "tide/busy" in path:
            self.send(503, b"{}")
        elif "tide/odd" in path:
            self.send(200, b"<html>not a hub</html>")
        elif "tide/gated" in path:
            self.send(401 if self.headers.get("Authorization") is None else 403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif path in (api, f"{api}/revision/main", f"{api}/revision/refs/convert/parquet", f"{api}/revision/{COMMIT}"):
            self.send(200, json.dumps({"id": REPOSITORY, "sha": COMMIT, "siblings": []}).encode())
        elif path.startswith(f"{api}/revision/"):
            self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith(f"{api}/tree/{COMMIT}"):
            below = path.removeprefix(f"{api}/tree/{COMMIT}").strip("/")
            self.send(
                200, json.dumps([entry(name) for name in FILES if name.startswith(below)] + [folder("data")]).encode()
            )
        elif path.startswith(f"{api}/paths-info/{COMMIT}"):
            (wanted,) = asked["paths"]
            found = [entry(wanted)] if wanted in FILES else [folder(wanted)] if wanted in ("data", "data/deep") else []
            self.send(200, json.dumps(found).encode())
        elif path.startswith(f"/datasets/{REPOSITORY}/resolve/{COMMIT}/"):
            name = path.removeprefix(f"/datasets/{REPOSITORY}/resolve/{COMMIT}/")
            if self.elsewhere:
                self.send(302, b"", {"Location": f"{self.elsewhere[0]}/blob/{name.encode().hex()}"})
            else:
                self.send(200, FILES[name])
        else:
            self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (
            {"Content-Length": str(len(body)), "Content-Type": "application/json"} | (headers or {})
        ).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def entry(name: str) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(FILES[name]), "oid": "0" * 40}


def folder(name: str) -> dict[str, Any]:
    return {"type": "directory", "path": name, "oid": "0" * 40}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    handler = type("OwnHub", (Hub,), {"seen": [], "elsewhere": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        server.policy = SourcePolicy(hub_url=f"http://127.0.0.1:{server.server_port}")
        server.seen, server.elsewhere = handler.seen, handler.elsewhere
        yield server
        server.shutdown()
        thread.join()


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("hf://datasets/a/b", HubAddress("a", "b", None, "")),
        ("hf://datasets/a/b-1.0@v2/data/x.csv", HubAddress("a", "b-1.0", "v2", "data/x.csv")),
        ("hf://datasets/a/b@refs/convert/parquet/x", HubAddress("a", "b", "refs/convert/parquet", "x")),
        ("hf://datasets/a/b@feature%2Fnew/%E6%95%B0.csv", HubAddress("a", "b", "feature/new", "数.csv")),
    ],
)
def test_an_address_names_dataset_revision_and_path(uri: str, address: HubAddress) -> None:
    assert parse_hub_address(uri) == address


@pytest.mark.parametrize("origin", ["bus", "http"])
def test_a_dataset_is_taken_at_the_commit_that_its_revision_names(hub: Any, take: Take, origin: str) -> None:
    said: list[str] = []

    class Listening(SilentReport):
        def progress(self, fraction: object, message: str = "", metrics: object = None) -> None:
            said.append(message)

    visible = {name: body for name, body in FILES.items() if not name.startswith(".")}
    for revision in ("", "@main", "@refs/convert/parquet", f"@{COMMIT}"):
        uri = f"hf://datasets/{REPOSITORY}{revision}"
        assert content(take(uri, policy=hub.policy, origin=origin, report=Listening())) == visible
    assert said[-1].endswith(f"{REPOSITORY} at commit {COMMIT}")


def test_a_path_is_a_file_or_a_folder_of_the_dataset(hub: Any, take: Take) -> None:
    there = f"hf://datasets/{REPOSITORY}"
    assert content(take(f"{there}/data/train-00000.parquet", policy=hub.policy)) == {"train-00000.parquet": b"PAR1 one"}
    assert content(take(f"{there}/data/deep", policy=hub.policy)) == {"x.csv": b"a\n1\n"}
    with pytest.raises(InvalidInput, match=r"has no 'data/missing\.csv'"):
        take(f"{there}/data/missing.csv", policy=hub.policy)


@pytest.mark.parametrize(
    ("dataset", "error", "says"),
    [
        ("tide/missing", InvalidInput, "there is no dataset tide/missing"),
        ("tide/reviews@v9", InvalidInput, "has no revision 'v9'"),
        ("tide/gated", InvalidInput, "is gated and may need a login; set HF_TOKEN"),
        ("tide/busy", TransientError, "answered 503"),
        ("tide/odd", TransientError, "cannot be reached"),
        ("tide/-x-", InvalidInput, "cannot be the name of a dataset"),
    ],
)
def test_what_a_hub_refuses_is_said_in_words(hub: Any, take: Take, dataset: str, error: Any, says: str) -> None:
    with pytest.raises(error) as raised:
        take(f"hf://datasets/{dataset}", policy=hub.policy)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_hub_that_cannot_be_reached_is_worth_another_try(take: Take) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        policy = SourcePolicy(hub_url=f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(TransientError, match="cannot be reached"):
            take(f"hf://datasets/{REPOSITORY}", policy=policy)


@pytest.mark.parametrize(
    ("origin", "owners", "used"), [("bus", (), True), ("http", (), False), ("http", ("tide",), True)]
)
def test_over_http_the_token_is_for_owners_that_are_allowed(
    hub: Any, take: Take, monkeypatch: pytest.MonkeyPatch, origin: str, owners: tuple[str, ...], used: bool
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    policy = SourcePolicy(hub_url=hub.policy.hub_url, allowed_hub_owners=owners)
    take(f"hf://datasets/{REPOSITORY}", policy=policy, origin=origin)
    assert {token for _, token in hub.seen} == {"Bearer hf_secret" if used else None}


def test_what_the_hub_redirects_to_is_no_private_address_and_gets_no_token(
    hub: Any, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    seen: list[str | None] = []

    class Storage(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            body = FILES[bytes.fromhex(self.path.removeprefix("/blob/")).decode()]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Storage) as storage:
        threading.Thread(target=partial(storage.serve_forever, poll_interval=0.01)).start()
        hub.elsewhere.append(f"http://127.0.0.1:{storage.server_port}")
        try:
            assert len(content(take(f"hf://datasets/{REPOSITORY}", policy=hub.policy))) == 4
            with pytest.raises(InvalidInput, match="private, loopback or link-local"):
                take(f"hf://datasets/{REPOSITORY}", policy=hub.policy, origin="http")
            monkeypatch.setattr(addresses, "is_public", lambda _: True)
            take(f"hf://datasets/{REPOSITORY}", policy=hub.policy, origin="http")
        finally:
            storage.shutdown()
    assert set(seen) == {None}
    assert len(seen) == 8


@pytest.mark.parametrize(("limit", "says"), [({"max_bytes": 10}, "MAX_BYTES"), ({"max_files": 3}, "MAX_FILES")])
def test_a_dataset_that_is_too_large_is_not_downloaded(hub: Any, take: Take, limit: dict[str, int], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        take(f"hf://datasets/{REPOSITORY}", policy=SourcePolicy(hub_url=hub.policy.hub_url, **limit))
    assert not any("/resolve/" in path for path, _ in hub.seen)


def test_a_query_is_for_databases(hub: Any, take: Take) -> None:
    with pytest.raises(InvalidInput, match=r"data\.query is set, but the uri is not a database"):
        take(f"hf://datasets/{REPOSITORY}", policy=hub.policy, data={"query": "SELECT 1"})
