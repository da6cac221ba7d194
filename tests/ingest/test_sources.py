"""Ingest copies what a uri names, and reads nothing that the policy does not allow."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import obstore
import pytest
from minio import Minio
from obstore.store import S3Store

from services.ingest.settings import IngestSettings
from services.ingest.snapshot import snapshot
from services.ingest.sources import addresses
from services.ingest.sources.policy import SourcePolicy
from tidemill.contracts import DatasetPublished
from tidemill.errors import HandedBack, InvalidInput, TransientError
from tidemill.jobs.report import SilentReport
from tidemill.testing.s3 import bucket, s3, s3_endpoint  # noqa: F401

ROWS = b"text,label\ngood,yes\nbad,no\n"
ANYTHING = SourcePolicy()


@pytest.fixture
def fetched(tmp_path: Path) -> Any:
    """Take a snapshot of ``uri``; gives the files by name."""

    def run(uri: str, origin: str = "bus", policy: SourcePolicy = ANYTHING) -> dict[str, bytes]:
        into = tmp_path / "snapshot"
        event = DatasetPublished(run_id="r1", name="reviews", uri=uri, origin=origin)
        snapshot(event, into, SilentReport(), policy=policy)
        return {path.relative_to(into).as_posix(): path.read_bytes() for path in into.rglob("*") if path.is_file()}

    return run


class Answers(BaseHTTPRequestHandler):
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.headers["Host"])
        status, headers, body = 200, {}, ROWS
        if self.path.startswith("/missing.csv"):
            status = 404
        elif self.path == "/busy.csv":
            status = 503
        elif self.path.startswith("/to="):
            status, headers = 302, {"Location": self.path.removeprefix("/to=")}
        elif self.path == "/named":
            headers = {"Content-Disposition": 'attachment; filename="../re views.tsv"'}
        elif self.path == "/cut.csv":
            headers = {"Content-Length": "1000"}
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Any]:
    handler = type("OwnAnswers", (Answers,), {"seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        server.url = f"http://127.0.0.1:{server.server_port}"
        server.seen = handler.seen
        yield server
        server.shutdown()
        thread.join()


def test_a_path_and_a_file_uri_name_the_same_file(fetched, tmp_path: Path) -> None:
    file = tmp_path / "评论 #1?.csv"
    file.write_bytes(ROWS)
    assert fetched(str(file)) == {"评论 #1?.csv": ROWS}
    assert fetched(f"file://{file}") == {"评论 #1?.csv": ROWS}
    assert fetched("file://localhost" + str(file).replace(" ", "%20")) == {"评论 #1?.csv": ROWS}


def test_of_a_folder_everything_visible_is_taken_where_it_lies(fetched, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    files = ("train.csv", "README.md", "训练/猫/1.png", "训练/狗/2.png", ".git/config", ".DS_Store", "训练/Thumbs.db")
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(ROWS)
    (folder / "link.csv").symlink_to(folder / "train.csv")
    assert fetched(str(folder)) == dict.fromkeys((*files[:4], "link.csv"), ROWS)


def test_a_folder_that_leads_out_of_itself_is_refused(fetched, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_bytes(ROWS)
    for number, (make, says) in enumerate(
        (
            (lambda path: path.symlink_to(tmp_path / "secret.csv"), "a symbolic link out of its folder"),
            (lambda path: path.symlink_to("/etc"), "a symbolic link out of its folder"),
            (lambda path: path.symlink_to(path.parent / "inner"), "a symbolic link to a folder"),
            (lambda path: path.symlink_to(path.parent / "missing"), "a symbolic link to nothing"),
            (lambda path: path.symlink_to("x"), "in a circle"),
            (os.mkfifo, "is not a regular file"),
            (lambda path: (path.parent / os.fsdecode(b"\xff.csv")).write_bytes(ROWS), "not valid Unicode"),
            (lambda path: (path.parent / "a\nb.csv").write_bytes(ROWS), "control character"),
            (lambda path: (path.parent / "A.csv").write_bytes(ROWS), "only in case or Unicode form"),
        )
    ):
        folder = tmp_path / f"folder-{number}"
        (folder / "inner").mkdir(parents=True)
        (folder / "a.csv").write_bytes(ROWS)
        make(folder / "x")
        with pytest.raises(InvalidInput, match=says):
            fetched(str(folder))


def test_a_folder_without_files_and_one_with_too_many_are_refused(fetched, tmp_path: Path) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / ".hidden").write_bytes(ROWS)
    with pytest.raises(InvalidInput, match="holds no file that is not hidden"):
        fetched(str(tmp_path / "folder"))
    for name in "abc":
        (tmp_path / "folder" / "inner" / name).write_bytes(ROWS)
    with pytest.raises(InvalidInput, match="TIDEMILL_INGEST_MAX_FILES"):
        fetched(str(tmp_path / "folder"), policy=SourcePolicy(max_files=2))


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("/nowhere/reviews.csv", "there is no file /nowhere/reviews.csv"),
        ("/dev/zero", "/dev/zero is not a regular file"),
        ("reviews.csv", "relative path"),
        ("file://elsewhere/reviews.csv", "names another machine"),
        ("ftp://example.org/reviews.csv", "scheme 'ftp'"),
        ("http://", "not an http or https address"),
        ("http://[::1/x.csv", "the address is not valid"),
        ("http://example.org:99999/x.csv", "the address is not valid"),
        ("/reviews\x00.csv", "NUL"),
        ("s3://Not A Bucket/key", "s3://bucket/key"),
        ("s3://bucket/key?endpoint=http://127.0.0.1", "s3://bucket/key"),
        ("s3://key:secret@bucket/x", "holds a password"),
        ("hf://models/owner/name", "hf://datasets/owner/name"),
        ("hf://datasets/owner", "hf://datasets/owner/name"),
        ("hf://datasets/owner/name@", "hf://datasets/owner/name"),
        ("hf://datasets/owner/name/../other", "hf://datasets/owner/name"),
        ("hf://datasets/owner/name/%2e%2e/other", "hf://datasets/owner/name"),
        ("mysql://host/name", "scheme 'mysql'"),
        ("postgresql://host/name", "set data.query"),
    ],
)
def test_a_wrong_uri_says_what_is_wrong(fetched, uri: str, says: str) -> None:
    with pytest.raises(InvalidInput) as error:
        fetched(uri)
    assert says in str(error.value)


@pytest.mark.parametrize("origin", ["bus", "http"])
def test_an_unknown_host_is_named(fetched, origin: str) -> None:
    # Without any name server, the answer is that none answers.
    with pytest.raises((InvalidInput, TransientError), match=r"no host named|name server|name resolution"):
        fetched("http://no-such-host.invalid/x.csv", origin)


def test_over_http_only_allowed_folders_are_read(fetched, tmp_path: Path) -> None:
    allowed, secret = tmp_path / "allowed", tmp_path / "secret"
    for folder in (allowed, secret):
        folder.mkdir()
        (folder / "reviews.csv").write_bytes(ROWS)
    (allowed / "link.csv").symlink_to(secret / "reviews.csv")
    (allowed / "folder").mkdir()
    (allowed / "folder" / "link.csv").symlink_to(secret / "reviews.csv")
    policy = SourcePolicy(allowed_folders=(allowed,))
    assert fetched(str(allowed / "reviews.csv"), "http", policy) == {"reviews.csv": ROWS}
    for way in ("secret/reviews.csv", "secret/missing.csv", "allowed/../secret/reviews.csv", "allowed/link.csv",
                "allowed/folder", "allowed-not"):  # fmt: skip
        with pytest.raises(InvalidInput, match="is not in a folder that may be read by a request over HTTP"):
            fetched(f"{tmp_path}/{way}", "http", policy)
    with pytest.raises(InvalidInput, match="may be read by a request over HTTP"):
        fetched("file:///etc/passwd", "http")


def test_a_download_is_named_by_the_server_or_the_address(fetched, web) -> None:
    assert fetched(f"{web.url}/reviews.csv?key=secret") == {"reviews.csv": ROWS}
    assert "re_views.tsv" in fetched(f"{web.url}/named")
    assert "moved.csv" in fetched(f"{web.url}/to=/moved.csv")


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("missing.csv?key=secret", InvalidInput, "missing.csv answered 404"),
        ("busy.csv", TransientError, "busy.csv answered 503"),
        ("cut.csv", TransientError, "cut.csv could not be read"),
        ("to=ftp://example.org/x", InvalidInput, "not an http or https address"),
    ],
)
def test_a_failed_download_says_whether_another_try_helps(fetched, web, path: str, error: Any, says: str) -> None:
    with pytest.raises(error) as raised:
        fetched(f"{web.url}/{path}")
    assert says in str(raised.value)
    assert "secret" not in str(raised.value)


def test_redirects_end(fetched, web) -> None:
    with pytest.raises(InvalidInput, match="redirects more than 5 times"):
        fetched(f"{web.url}/to=" * 7 + "/x.csv")


def test_nobody_listening_is_worth_another_try(fetched) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(TransientError, match="could not be read"):
            fetched(f"http://127.0.0.1:{unused.getsockname()[1]}/x.csv")


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::",
     "fec0::1", "::ffff:0:127.0.0.1", "::7f00:1", "64:ff9b:1::808:808", "2001:0:808:808::1", "2001:db8::1", "3fff::1",
     "ff0e::1", "4000::1", "192.0.0.8", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1",
     "203.0.113.1", "240.0.0.1", "255.255.255.255", "168.63.129.16"],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not addresses.is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "192.0.1.1", "2606:4700::1111", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808",
     "2002:808:808::1"],
)  # fmt: skip
def test_addresses_that_are_public(address: str) -> None:
    assert addresses.is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "127.1"])
def test_over_http_no_private_address_is_read_however_it_is_written(fetched, web, host: str) -> None:
    with pytest.raises(InvalidInput):
        fetched(f"http://{host}:{web.server_port}/reviews.csv", "http")
    assert web.seen == []
    assert fetched(f"{web.url}/reviews.csv", "http", SourcePolicy(allow_private_networks=True))


def test_a_redirect_to_a_private_address_is_not_followed(fetched, web, monkeypatch: pytest.MonkeyPatch) -> None:
    # The test's own server plays the public one; any other loopback address is private.
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
    assert fetched(f"{web.url}/reviews.csv", "http") == {"reviews.csv": ROWS}
    with pytest.raises(InvalidInput, match="private, loopback or link-local"):
        fetched(f"{web.url}/to=http://127.0.0.2:{web.server_port}/reviews.csv", "http")


def test_the_connection_goes_to_the_address_that_was_checked(fetched, web, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["127.0.0.1", "127.0.0.2"])
    look_up = socket.getaddrinfo

    def rebinding(host: Any, *args: Any, **kwargs: Any) -> Any:
        return look_up(next(answers) if host == "rebind.example" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
    assert fetched(f"http://rebind.example:{web.server_port}/reviews.csv", "http") == {"reviews.csv": ROWS}
    assert web.seen == [f"rebind.example:{web.server_port}"]
    assert next(answers) == "127.0.0.2"


def test_a_host_with_one_private_address_is_refused(fetched, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(InvalidInput, match="private, loopback or link-local"):
        fetched("http://mixed.example/x.csv", "http")


def test_more_than_the_limit_is_refused(fetched, tmp_path: Path, web) -> None:
    policy = SourcePolicy(max_bytes=len(ROWS) - 1)
    (tmp_path / "x.csv").write_bytes(ROWS)
    for uri in (str(tmp_path / "x.csv"), f"{web.url}/x.csv"):
        with pytest.raises(InvalidInput, match="TIDEMILL_INGEST_MAX_BYTES"):
            fetched(uri, policy=policy)


def test_a_worker_that_wants_to_leave_hands_the_download_back(tmp_path: Path) -> None:
    class Leaving(SilentReport):
        stop_requested = True

    (tmp_path / "x.csv").write_bytes(ROWS)
    event = DatasetPublished(run_id="r1", name="reviews", uri=str(tmp_path / "x.csv"))
    with pytest.raises(HandedBack):
        snapshot(event, tmp_path / "into", Leaving(), policy=ANYTHING)


def test_objects_are_read_from_s3(fetched, s3: str, bucket: str) -> None:  # noqa: F811
    Minio(s3.removeprefix("http://"), "tidemill-test", "not-a-secret", secure=False).make_bucket(bucket)
    store = S3Store(bucket, client_options={"allow_http": True})
    for key in (
        "reviews.csv",
        "set/train.csv",
        "set/猫 1/a.png",
        "set/.hidden",
        "settings.csv",
        "Set/A.csv",
        "Set/a.csv",
    ):
        obstore.put(store, key, ROWS)
    assert fetched(f"s3://{bucket}/reviews.csv") == {"reviews.csv": ROWS}
    assert fetched(f"s3://{bucket}/set/") == dict.fromkeys(("train.csv", "猫 1/a.png", "reviews.csv"), ROWS)
    with pytest.raises(InvalidInput, match="only in case or Unicode form"):
        fetched(f"s3://{bucket}/Set")
    for limit, says in (({"max_files": 1}, "MAX_FILES"), ({"max_bytes": 2 * len(ROWS) - 1}, "MAX_BYTES")):
        with pytest.raises(InvalidInput, match=says):
            fetched(f"s3://{bucket}/set", policy=SourcePolicy(**limit))
    for missing in (f"s3://{bucket}/missing.csv", f"s3://{bucket}-none/x.csv", f"s3://{bucket}-none"):
        with pytest.raises(InvalidInput, match="there is no object s3://"):
            fetched(missing)
    for policy in (ANYTHING, SourcePolicy(allowed_buckets=("other",))):
        with pytest.raises(InvalidInput, match="TIDEMILL_INGEST_ALLOWED_BUCKETS"):
            fetched(f"s3://{bucket}/reviews.csv", "http", policy)
    policy = SourcePolicy(allowed_buckets=(bucket,), own_store=f"s3://{bucket}/own/store/")
    assert "reviews.csv" in fetched(f"s3://{bucket}/reviews.csv", "http", policy)
    for above in ("", "/own"):
        with pytest.raises(InvalidInput, match="the platform's own store is below"):
            fetched(f"s3://{bucket}{above}", "http", policy)


@pytest.mark.parametrize(
    ("store", "key"),
    [("own/store", "own/store"), ("own/store", "/own/store/objects/ab"), ("own", "own/x"), ("", ""), ("", "x.csv")],
)
def test_over_http_the_own_store_is_never_read(fetched, store: str, key: str) -> None:
    policy = SourcePolicy(allowed_buckets=("bucket",), own_store=f"s3://bucket/{store}")
    with pytest.raises(InvalidInput, match="is in the platform's own store"):
        fetched(f"s3://bucket/{key}", "http", policy)


def test_a_key_has_one_spelling(fetched) -> None:
    for key in ("own//store", "own/./store", "other/../own/store"):
        with pytest.raises(InvalidInput, match="s3://bucket/key"):
            fetched(f"s3://bucket/{key}")


def test_settings_reach_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert IngestSettings().policy.allowed_buckets == ()
    monkeypatch.setenv("TIDEMILL_STORE_URL", "s3://bucket/store")
    monkeypatch.setenv("TIDEMILL_INGEST_ALLOWED_BUCKETS", "one:two")
    monkeypatch.setenv("TIDEMILL_INGEST_ALLOWED_DATABASES", "db.example:5432/shop, other")
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example/")
    monkeypatch.setenv("TIDEMILL_INGEST_MIN_RATE", "5")
    monkeypatch.setenv("TIDEMILL_INGEST_PATIENCE", "7")
    policy = IngestSettings().policy
    assert (policy.allowed_buckets, policy.own_store) == (("one", "two"), "s3://bucket/store")
    assert (policy.min_rate, policy.patience) == (5, 7.0)
    assert (policy.allowed_databases, policy.hub_url) == (("db.example:5432/shop", "other"), "http://hub.example")


@pytest.mark.parametrize("key", ["/x.csv", ""])
@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (401, InvalidInput, "ingest has none"),
        (403, InvalidInput, "ingest has none"),
        (404, InvalidInput, "there is no object"),
        (301, InvalidInput, "check bucket, AWS_REGION"),
        (400, InvalidInput, "check bucket, AWS_REGION"),
        (503, TransientError, "503"),
        (None, TransientError, "could not be read"),
    ],
)
def test_a_failed_bucket_says_whether_another_try_helps(
    fetched, monkeypatch: pytest.MonkeyPatch, key: str, status: int | None, error: Any, says: str
) -> None:
    seen = []

    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            if status is not None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=partial(server.serve_forever, poll_interval=0.01)).start()
        # Were it asked, the metadata service's silence would hold the test up.
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        try:
            with pytest.raises(error) as raised:
                fetched(f"s3://bucket{key}")
        finally:
            server.shutdown()
    assert says in str(raised.value)
    assert set(seen) == {None}, "a request was signed, or none was made"


def test_no_try_again_for_what_stays_as_it_is(fetched, tmp_path: Path) -> None:
    (tmp_path / "a.csv").symlink_to("b.csv")
    (tmp_path / "b.csv").symlink_to("a.csv")
    with pytest.raises(InvalidInput, match="too long"):
        fetched(str(tmp_path / ("长" * 300 + ".csv")))
    with pytest.raises(InvalidInput, match="in a circle"):
        fetched(str(tmp_path / "a.csv"))
    with pytest.raises(InvalidInput, match="is not in a folder"):
        fetched(str(tmp_path / "a.csv"), "http", SourcePolicy(allowed_folders=(tmp_path,)))
    (tmp_path / "snapshot" / "x.csv").mkdir(parents=True)
    (tmp_path / "x.csv").write_bytes(ROWS)
    with pytest.raises(InvalidInput, match="a folder is where a file was expected"):
        fetched(str(tmp_path / "x.csv"))


def test_a_full_disk_is_worth_another_try(tmp_path: Path) -> None:
    class Full(SilentReport):
        def progress(self, *_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "x.csv").write_bytes(ROWS)
    event = DatasetPublished(run_id="r1", name="reviews", uri=str(tmp_path / "x.csv"))
    with pytest.raises(TransientError, match="No space left"):
        snapshot(event, tmp_path / "into", Full(), policy=ANYTHING)


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
    ],
    ids=["headers", "endless body", "body", "framing"],
)
@pytest.mark.parametrize("origin", ["bus", "http"])
def test_a_server_that_drips_is_left(fetched, origin: str, head: bytes, drop: bytes) -> None:
    policy = SourcePolicy(allow_private_networks=origin == "bus", min_rate=1_000_000, patience=0.1)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.MonkeyPatch.context() as patched:
        patched.setattr(addresses, "is_public", lambda _: True)

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(head)
                with suppress(OSError):
                    while True:
                        connection.sendall(drop)
                        time.sleep(0.01)

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(InvalidInput, match=r"less than 1,000,000 bytes per second.*TIDEMILL_INGEST_MIN_RATE"):
            fetched(f"http://127.0.0.1:{server.getsockname()[1]}/x.csv", origin, policy)
        thread.join()
