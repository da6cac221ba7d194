"""`tidemill backup` and `restore`: exit codes, sentences, and the one JSON document."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tidemill.artifacts import open_store
from tidemill.contracts import ArtifactRef, DatasetPublished
from tidemill.records.schema import RunRecord


def tidemill(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
    done = subprocess.run(
        [sys.executable, "-m", "tidemill.cli", *arguments],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    """The folder of a platform that does not run, with one run whose source is stored."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "评论.csv").write_text("text,label\n好,positive\n", encoding="utf-8")
    folder = tmp_path / "platform"
    store = open_store(str(folder / "store"), cache=tmp_path / "cache")

    async def fill() -> ArtifactRef:
        source = await store.put(tmp_path / "data", kind="source")
        event = DatasetPublished(run_id="run-1", name="评论", source=source)
        await store.records().create_run(RunRecord(event=event, created_at=datetime.now(UTC)))
        return source

    asyncio.run(fill())
    return folder


def test_there_and_back(platform: Path, tmp_path: Path) -> None:
    backup, new = tmp_path / "a backup", tmp_path / "new"
    done = tidemill("backup", str(backup), "--data-dir", str(platform))
    assert done.returncode == 0, done.stderr
    assert "1 runs, 1 records, 1 artifacts" in done.stdout
    assert "NATS does not run" in done.stdout
    assert f"tidemill restore '{backup}' --data-dir NEW" in done.stdout
    again = json.loads(tidemill("backup", str(backup), "--data-dir", str(platform), "--json").stdout)
    assert (again["copied_objects"], again["messages"], again["damages"]) == (0, None, [])
    done = tidemill("restore", str(backup), "--data-dir", str(new))
    assert done.returncode == 0, done.stderr
    assert f"tidemill up --data-dir {new}" in done.stdout
    files = [
        sorted(path.relative_to(folder) for path in folder.glob("**/*.json"))
        for folder in (platform / "store", new / "store")
    ]
    audit = Path("records/default/audit/000000000001.json")
    assert [*files[0], audit] == [*(path for path in files[1] if path != audit), audit]
    restored = json.loads((new / "store" / audit).read_bytes())["entry"]
    assert (restored["actor"], restored["action"]) == ("local", "restore-backup")
    refused = tidemill("restore", str(backup), "--data-dir", str(new))
    assert refused.returncode == 1
    assert "is not empty" in refused.stderr


def test_what_is_damaged_is_named_and_ends_with_1(platform: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    assert tidemill("backup", str(backup), "--data-dir", str(platform)).returncode == 0
    (damaged,) = backup.glob("artifacts/objects/*/*")
    damaged.chmod(0o644)
    damaged.write_bytes(bytes(damaged.stat().st_size))
    done = tidemill("restore", str(backup), "--data-dir", str(tmp_path / "new"))
    assert done.returncode == 1
    assert "damaged: artifacts/manifests/" in done.stdout
    assert "'评论.csv'" in done.stdout


def test_a_folder_of_a_platform_is_not_restored_into(platform: Path, tmp_path: Path) -> None:
    assert tidemill("backup", str(tmp_path / "backup"), "--data-dir", str(platform)).returncode == 0
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "platform.json").write_text("{}")
    done = tidemill("restore", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "used"), "--json")
    assert done.returncode == 1
    assert "choose another with --data-dir" in json.loads(done.stdout)["error"]
