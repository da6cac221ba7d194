"""`tidemill deploy secrets`: made once, never changed, each holder with its own."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tidemill.deploy.inventory import DERIVED, HOLDERS, SECRETS, SERVICES
from tidemill.deploy.secrets import make_secrets
from tidemill.errors import InvalidInput, PermanentError


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_every_holder_gets_its_own_and_nothing_else(tmp_path: Path) -> None:
    made = make_secrets(tmp_path)
    expected = {f"{holder}/{one.file}" for one in (*SECRETS, *DERIVED) for holder in one.holders}
    assert set(made) == contents(tmp_path).keys() == expected
    assert {path.name for path in tmp_path.iterdir()} == set(HOLDERS)
    assert not list((tmp_path / "trainer").glob("*database*")), "the trainer has no business with the database"


def test_a_secret_is_the_same_for_all_who_hold_it_and_different_from_every_other(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    values = []
    for secret in SECRETS:
        (value,) = {(tmp_path / holder / secret.file).read_text() for holder in secret.holders}
        values.append(value)
    assert len(set(values)) == len(SECRETS)
    assert all(len(value) >= 19 for value in values)


def test_files_are_for_their_owner_and_its_group(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o440 if path.is_file() else 0o750), path


def test_what_is_there_stays_and_what_is_missing_is_made(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    before = contents(tmp_path)
    assert make_secrets(tmp_path) == []
    (tmp_path / "trainer" / "nats-password").unlink()
    (tmp_path / "ingest" / "store-credentials").unlink()
    assert sorted(make_secrets(tmp_path)) == ["ingest/store-credentials", "trainer/nats-password"]
    assert contents(tmp_path) == before


def test_services_have_the_store_s_keys_in_the_form_that_they_read(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    for service in SERVICES:
        lines = (tmp_path / service / "store-credentials").read_text().splitlines()
        keys = dict(line.split("=", 1) for line in lines)
        assert keys == {
            "AWS_ACCESS_KEY_ID": (tmp_path / "store" / "store-access-key").read_text(),
            "AWS_SECRET_ACCESS_KEY": (tmp_path / "store" / "store-secret-key").read_text(),
        }
        assert len(keys["AWS_ACCESS_KEY_ID"]) <= 20


def test_two_values_of_one_secret_are_refused(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    other = tmp_path / "postgres" / "database-password"
    other.unlink()
    other.write_text("another one")
    with pytest.raises(InvalidInput, match=r"postgres/database-password .*different values") as refused:
        make_secrets(tmp_path)
    assert "another one" not in str(refused.value)


def test_an_empty_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "operator").mkdir()
    (tmp_path / "operator" / "api-key").write_text("\n")
    with pytest.raises(InvalidInput, match="operator/api-key is empty; remove the file"):
        make_secrets(tmp_path)


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PermanentError, match="cannot be kept in"):
        make_secrets(tmp_path / "file")


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(PermanentError, match="No space left on device"):
        make_secrets(tmp_path)
    assert contents(tmp_path) == {}


def test_the_command_names_files_and_never_says_what_is_in_them(tmp_path: Path) -> None:
    for arguments in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "tidemill.cli", "deploy", "secrets", "--into", str(tmp_path), *arguments],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for value in contents(tmp_path).values():
            assert value not in done.stdout + done.stderr
    assert json.loads(done.stdout) == {"into": str(tmp_path), "made": []}


def test_several_at_once_leave_one_value_of_each(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = [future.result() for future in [pool.submit(make_secrets, tmp_path) for _ in range(4)]]
    assert sorted(name for one in made for name in one) == sorted(contents(tmp_path))
    for secret in SECRETS:
        assert len({(tmp_path / holder / secret.file).read_text() for holder in secret.holders}) == 1
