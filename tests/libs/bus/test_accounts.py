"""Seeds and the server's file: made once, added to, rotated while all runs; what a bus says when it is refused."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tidemill.bus import Bus, Deployments
from tidemill.bus.accounts import ACCOUNTS_FILE, SYSTEM, seed_file, write_accounts
from tidemill.bus.permissions import USERS, Permissions
from tidemill.cli import main
from tidemill.contracts import ModelTrained, RunFailed
from tidemill.errors import InvalidInput, PermanentError, TransientError
from tidemill.platform.nats_client import Refused, connected_once
from tidemill.platform.nats_server import NatsServer
from tidemill.settings import PlatformSettings
from tidemill.testing.nats import guarded_nats, user_of


def seeds(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in folder.glob("*.nk")}


def settings_of(server: NatsServer, folder: Path, user: str) -> PlatformSettings:
    return PlatformSettings(nats_url=server.config.url, nats_nkey_file=seed_file(folder, user))


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.05)


def test_seeds_are_made_once_and_for_their_owners_eyes(tmp_path: Path) -> None:
    made = write_accounts(tmp_path)
    first = seeds(tmp_path)
    assert set(made.made) == {*USERS, SYSTEM} == set(first)
    assert all(seed_file(tmp_path, user).stat().st_mode & 0o777 == 0o600 for user in first)
    text = (tmp_path / ACCOUNTS_FILE).read_text()
    assert not [user for user, seed in first.items() if seed.strip() in text]
    again = write_accounts(tmp_path)
    assert (again.made, again.rotated) == ((), ())
    assert seeds(tmp_path) == first
    assert (tmp_path / ACCOUNTS_FILE).read_text() == text


def test_missing_ones_are_added_and_one_is_rotated(tmp_path: Path) -> None:
    write_accounts(tmp_path)
    first = seeds(tmp_path)
    seed_file(tmp_path, "compressor").unlink()
    done = write_accounts(tmp_path, rotate=["trainer"], also={"mine": Permissions(("a.b",), ("c.d",))})
    assert (done.made, done.rotated) == (("compressor", "mine"), ("trainer",))
    now = seeds(tmp_path)
    changed = {user for user in first if now[user] != first[user]}
    assert changed == {"compressor", "trainer"}
    assert '"a.b"' in (tmp_path / ACCOUNTS_FILE).read_text()


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--rotate trainers: there is no such user; known: ingest,"):
        write_accounts(tmp_path / "new", rotate=["trainers"])
    assert not (tmp_path / "new").exists()
    write_accounts(tmp_path)
    seed_file(tmp_path, "ingest").write_text("SUNOSEED")
    with pytest.raises(PermanentError, match=r"ingest\.nk holds no nkey seed") as refused:
        write_accounts(tmp_path)
    assert "SUNOSEED" not in str(refused.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(PermanentError, match="cannot be written"):
        write_accounts(tmp_path / "file")


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def tidemill(*arguments: str) -> tuple[int | str | None, str]:
        monkeypatch.setattr("sys.argv", ["tidemill", "nats", "accounts", "--into", str(tmp_path / "账户"), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().out

    code, said = tidemill("--json")
    assert code == 0
    assert set(json.loads(said)["made"]) == {*USERS, SYSTEM}
    code, said = tidemill("--rotate", "trainer")
    assert code == 0
    assert "new seed: trainer" in said
    assert "reload" in said
    assert not [seed for seed in seeds(tmp_path / "账户").values() if seed.strip() in said]
    assert tidemill("--rotate", "nobody")[0] == 1


async def test_a_rotated_seed_takes_the_place_of_the_old_one_while_all_run(tmp_path: Path) -> None:
    async with guarded_nats(tmp_path) as server:
        bus = Bus.from_settings(settings_of(server, tmp_path, "trainer"), "train")
        await bus.connect()
        failed = RunFailed(run_id="run-1", stage="train", error="e", kind="permanent")
        await bus.announce(failed, fingerprint="1")
        old = tmp_path / "old.nk"
        shutil.copy(seed_file(tmp_path, "trainer"), old)
        write_accounts(tmp_path, rotate=["trainer"])
        assert server.pid is not None
        os.kill(server.pid, signal.SIGHUP)

        async def back() -> bool:
            return bus.connected and bus.client.stats["reconnects"] > 0

        await eventually(back)
        await bus.announce(failed, fingerprint="2")
        with pytest.raises(Refused):
            async with connected_once(server.config.url, user_of(tmp_path, "old", "train")):
                pass
        await bus.broker.stop()


async def test_a_bus_says_in_words_and_at_once_what_is_refused(tmp_path: Path) -> None:
    async with guarded_nats(tmp_path) as server:
        bus = Bus.from_settings(settings_of(server, tmp_path, "ingest"), "ingest")
        await bus.connect()
        words = r"does not let tidemill-ingest publish on {}: .*tidemill nats accounts"
        async with asyncio.timeout(4):  # a publish without an answer would take five seconds
            with pytest.raises(TransientError, match=words.format(r"tidemill\.model\.trained\.v1")):
                await bus.publish_durably("EVENTS", ModelTrained.subject, b"{}", {})
        async with asyncio.timeout(4):
            with pytest.raises(TransientError, match=r"does not let tidemill-ingest"):
                await Deployments(bus).remove("default", "n")
        await bus.broker.stop()
