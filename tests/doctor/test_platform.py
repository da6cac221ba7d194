"""Processes, clocks, the gateway and the whole report."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import nats.errors
import pytest

from tests.doctor.conftest import Only
from tidemill.bus.login import Login
from tidemill.cli import main
from tidemill.doctor import clock, diagnose, gateway, processes
from tidemill.doctor.examination import Check
from tidemill.doctor.findings import Finding, ok
from tidemill.doctor.site import NotLooked, Site
from tidemill.platform.data_dir import PlatformRecord, ProcessRecord
from tidemill.platform.nats_client import NatsAccount
from tidemill.platform.processes import ProcessIdentity


def recorded(site: Site, *members: ProcessRecord, **changes: Any) -> Site:
    """The platform of a supervisor that is this process."""
    record = PlatformRecord(
        platform_id="p", state="ready", supervisor=_me(), data_dir=str(site.folder().root), store_url="",
        gateway_url="http://127.0.0.1:9", nats_url="nats://127.0.0.1:9", started_at=datetime.now(UTC),
        processes=list(members),
    ).model_copy(update=changes)  # fmt: skip
    return replace(site, record=record)


def _me() -> ProcessIdentity:
    identity = ProcessIdentity.of(os.getpid())
    assert identity is not None
    return identity


def member(site: Site, name: str = "trainer", **changes: Any) -> ProcessRecord:
    log = site.folder().logs / f"{name}.log"
    log.write_text("one\ntwo\nImportError: no torch\n")
    return ProcessRecord(
        name=name, state="ready", identity=_me(), started_at=datetime.now(UTC) - timedelta(minutes=5), log=str(log)
    ).model_copy(update=changes)


def _ended() -> ProcessIdentity:
    process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    identity = ProcessIdentity.of(process.pid)
    process.kill()
    process.communicate()
    assert identity is not None
    return identity


async def test_a_platform_that_never_ran_was_stopped_or_lost_its_supervisor(site: Site, only: Only) -> None:
    assert "no platform has run" in only(await processes.look(site)).message
    assert "is stopped" in only(await processes.look(recorded(site, state="stopped"))).message
    found = only(await processes.look(recorded(site, state="failed", error="trainer ended with code 1\n\nlog")))
    assert "did not start: trainer ended with code 1" in found.message
    found = only(await processes.look(recorded(site, supervisor=_ended())))
    assert "is gone although it never stopped" in found.message
    assert "tidemill up" in found.advice


async def test_processes_that_are_gone_loop_or_are_ill(site: Site, only: Only) -> None:
    assert only(await processes.look(recorded(site, member(site)))).state == "ok"
    fresh = datetime.now(UTC)
    for change, said in (
        ({"identity": _ended()}, "trainer does not run; the end of its log: one ⏎ two ⏎ ImportError: no torch"),
        ({"state": "waiting", "restarts": 4}, "trainer does not run (4 restarts)"),
        ({"restarts": 3, "started_at": fresh}, "restarts in a loop (3 restarts)"),
        ({"ailment": "its disk is full"}, "not healthy: its disk is full"),
    ):
        found = only(await processes.look(recorded(site, member(site), member(site, **change))))
        assert (found.state, said in found.message) == ("failed", True), found
        assert found.advice
    late = {"state": "starting", "started_at": fresh - timedelta(minutes=10)}
    for change, said in (({"restarts": 1}, "restarted 1 times"), (late, "is not ready after 600 s")):
        found = only(await processes.look(recorded(site, member(site, **change))))
        assert (found.state, said in found.message) == ("warning", True), found


def test_a_real_process_without_a_log_is_named(site: Site) -> None:
    gone = member(site, identity=None, log=str(site.folder().logs / "none.log"))
    (found,) = asyncio.run(processes.look(recorded(site, gone)))
    assert "its log is empty" in found.message


async def test_a_clock_that_was_set_back(site: Site, only: Only) -> None:
    assert only(await clock.look(site)).state == "ok"
    found = only(await clock.look(recorded(site, started_at=datetime.now(UTC) + timedelta(minutes=3))))
    assert (found.state, "was set back" in found.message) == ("failed", True)
    assert "timedatectl" in found.advice


async def test_the_servers_clock_is_compared(with_nats: Site, only: Only) -> None:
    found = only(await clock.look(with_nats))
    assert (found.state, "agrees with this machine's" in found.message) == ("ok", True)


@pytest.mark.parametrize(("ahead", "state"), [(0, "ok"), (-30, "warning"), (3600, "failed")])
def test_a_stores_clock_that_is_off(ahead: float, state: str) -> None:
    with answering({}, date=time.time() + ahead) as url:
        found = clock.judged("the store's server", clock.http_skew(url))
    assert found.state == state
    with pytest.raises(NotLooked):
        clock.http_skew("http://127.0.0.1:9")


STATUS = {
    "bus": {"connected": True}, "registry": {"reachable": True}, "store": {"reachable": True},
    "models": [{"name": "评论", "state": "serving", "serving": [{"version": 2, "weight": 1.0}]}],
}  # fmt: skip
MODELS = [{"name": "评论", "champion": 2}]


@contextmanager
def answering(documents: dict[str, Any], *, date: float | None = None, status: int = 200) -> Iterator[str]:
    """A server that answers with fixed documents, and with a date of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(403)
            self.end_headers()

        def do_GET(self) -> None:
            body = json.dumps(documents.get(self.path.partition("?")[0], [])).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(date)  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "models", "state", "said"),
    [
        ({}, MODELS, "ok", "are the champions"),
        ({"bus": {"connected": False}}, MODELS, "failed", "no connection to NATS"),
        ({"store": {"reachable": False, "error": "存储不在"}}, MODELS, "failed", "cannot reach the store: 存储不在"),
        ({"registry": {"reachable": False}}, MODELS, "failed", "cannot reach the registry"),
        (
            {"models": [{"name": "评论", "state": "failed", "error": "bad file", "serving": []}]},
            [],
            "failed",
            "bad file",
        ),
        ({}, [{"name": "评论", "champion": 3}], "warning", "version 3 of 评论 is champion, served is 2"),
        ({}, [*MODELS, {"name": "other", "champion": 1}], "warning", "served is none"),
    ],
)
async def test_what_the_gateway_sees_wrong(
    site: Site, status: dict[str, Any], models: list[dict[str, Any]], state: str, said: str, only: Only
) -> None:
    documents = {"/readyz": {}, "/v1/status": STATUS | status, "/v1/models": models}
    with answering(documents) as url:
        found = only(await gateway.look(replace(site, gateway_url=url)))
    assert (found.state, said in found.message) == (state, True), found


async def test_a_gateway_that_is_away_starting_or_locked(site: Site, only: Only) -> None:
    found = only(await gateway.look(replace(site, gateway_url="http://127.0.0.1:9")))
    assert (found.state, "not reachable" in found.message) == ("failed", True)
    for status, said in ((503, "is not ready"), (401, "refuses")):
        with answering({"/readyz": {"detail": "no"}}, status=status) as url:
            found = only(await gateway.look(replace(site, gateway_url=url)))
        assert (found.state, said in found.message) == ("failed", True)


def test_of_a_platform_elsewhere_the_gateway_is_asked_alone(capsys: pytest.CaptureFixture[str]) -> None:
    letters = [{"error": "列 label: 空"}]
    documents = {"/readyz": {}, "/v1/status": STATUS, "/v1/models": MODELS, "/v1/dead-letters": letters}
    with answering(documents) as url:
        report = diagnose(Site.of(url=url))
    assert report.healthy
    assert [one.state for one in report.of("gateway")] == ["ok", "warning"]
    assert "列 label: 空" in report.of("gateway")[1].message
    others = [finding for name, finding in report.findings if name != "gateway"]
    assert {one.state for one in others} == {"skipped"}
    assert {one.message for one in others} == {"not seen from here: with --url alone only the gateway can be asked"}


def test_parts_that_hang_do_not_hang_the_doctor(site: Site) -> None:
    with silent() as port:
        deaf = replace(
            recorded(site),
            nats=NatsAccount(f"nats://127.0.0.1:{port}", Login(source="test")),
            gateway_url=f"http://127.0.0.1:{port}",
        )
        report = diagnose(deaf, timeout=5.0)
    assert not report.healthy
    assert report.of("NATS")[0].state == "failed"
    assert report.of("gateway")[0].state == "failed"
    assert report.of("disk")[0].state in ("ok", "warning")


def test_a_thread_that_hangs_is_said_and_not_waited_for(site: Site) -> None:
    release = threading.Event()

    async def stuck(_: Site) -> list[Finding]:
        await asyncio.to_thread(release.wait)
        return [ok("at last")]

    async def well(_: Site) -> list[Finding]:
        return [ok("well")]

    report = diagnose(site, [Check("stuck", stuck), Check("well", well)], timeout=0.2)
    release.set()
    assert report.hung
    assert [(name, one.state) for name, one in report.findings] == [("stuck", "failed"), ("well", "ok")]


def test_a_check_that_nats_leaves_without_an_answer_is_no_bug_of_the_doctor(site: Site) -> None:
    async def unanswered(_: Site) -> list[Finding]:
        raise nats.errors.TimeoutError

    async def broken(_: Site) -> list[Finding]:
        raise KeyError("data")

    report = diagnose(site, [Check("streams", unanswered), Check("broken", broken)])
    (streams,), (mistake,) = report.of("streams"), report.of("broken")
    assert (streams.state, "NATS does not answer" in streams.message) == ("failed", True)
    assert streams.advice == "see the finding of NATS"
    assert "bug of the doctor" in mistake.advice


def test_the_store_is_that_of_the_running_platform_and_the_rest_is_what_the_environment_says(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMILL_STORE_URL", str(tmp_path / "of the moment"))
    monkeypatch.setenv("TIDEMILL_REGISTRY_RECONCILE_AFTER", "PT5M")
    monkeypatch.setenv("TIDEMILL_STREAM_EVENTS_BYTES", "5MiB")
    data = site.folder()
    found = Site.of(data.root)
    assert found.store_url == str(tmp_path / "of the moment")
    assert (found.reconcile_after, found.streams.events_bytes) == (timedelta(minutes=5), 5 << 20)
    running = recorded(site, store_url=str(tmp_path / "in use")).record
    assert running is not None
    data.write_record(running)
    assert Site.of(data.root).store_url == str(tmp_path / "in use")
    data.write_record(running.model_copy(update={"state": "stopped"}))
    assert Site.of(data.root).store_url == str(tmp_path / "of the moment")


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command_on_a_folder_where_nothing_runs(
    tmp_path: Path, as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "平台"
    monkeypatch.setattr(
        sys, "argv", ["tidemill", "doctor", "--data-dir", str(folder), *(["--json"] if as_json else [])]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    out = capsys.readouterr().out
    assert ended.value.code == 1
    if as_json:
        document = json.loads(out)
        assert document["healthy"] is False
        first = document["findings"][0]
        assert (first["check"], first["state"]) == ("processes", "failed")
        assert "tidemill up" in first["advice"]
    else:
        assert "no platform has run" in out
        assert "→ start one with" in out
    assert not folder.exists()
