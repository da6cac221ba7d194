"""`tidemill deploy secrets`: made once, never changed, each holder with its own."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.deploy.compose import REPOSITORY, SERVICES, all_services, environment
from tidemill.artifacts.encryption.master import read_master_key
from tidemill.bus.client import NotPermitted
from tidemill.bus.login import Login
from tidemill.bus.permissions import STAGE_OF
from tidemill.deploy.inventory import DERIVED, HOLDERS, SECRETS, SEEDS, SIGNING_KEY, TRUSTED_SIGNERS
from tidemill.deploy.secrets import make_secrets
from tidemill.errors import InvalidInput, PermanentError
from tidemill.platform.nats_client import connected_once
from tidemill.platform.nats_server import NatsServer, NatsServerConfig, free_port, nats_server_binary
from tidemill.signing import SigningKey, TrustedSigners


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_every_holder_gets_its_own_and_nothing_else(tmp_path: Path) -> None:
    made = make_secrets(tmp_path)
    signer = SigningKey.read(tmp_path / "registry" / SIGNING_KEY).public.id
    expected = {f"{holder}/{one.file.format(signer)}" for one in (*SECRETS, *DERIVED) for holder in one.holders}
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
    (tmp_path / "provision" / "database-password").unlink()
    (tmp_path / "ingest" / "store-credentials").unlink()
    (tmp_path / "nats" / "accounts.conf").unlink()
    assert sorted(make_secrets(tmp_path)) == [
        "ingest/store-credentials", "nats/accounts.conf", "provision/database-password",
    ]  # fmt: skip
    assert contents(tmp_path) == before


def test_secrets_of_an_older_version_stay_and_get_what_is_new(tmp_path: Path) -> None:
    """One user with a password for the whole bus, nothing signed, nothing encrypted."""
    make_secrets(tmp_path)
    old = {"api-key", "database-password", "store-access-key", "store-secret-key", "store-credentials"}
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name not in old:
            path.unlink()
    (tmp_path / "nats" / "accounts.conf").write_text('authorization { users: [{ user: tidemill, password: "p" }] }')
    before = contents(tmp_path)
    made = make_secrets(tmp_path)
    assert {"nats/accounts.conf", "trainer/nats.nk", f"registry/{SIGNING_KEY}", "ingest/encryption-key"} <= set(made)
    assert "password" not in (tmp_path / "nats" / "accounts.conf").read_text()
    after = contents(tmp_path)
    assert {name: after[name] for name in before if name != "nats/accounts.conf"} == {
        name: text for name, text in before.items() if name != "nats/accounts.conf"
    }


async def test_the_server_lets_each_in_by_its_seed_and_knows_what_it_may(tmp_path: Path) -> None:
    make_secrets(tmp_path / "secrets")
    accounts = tmp_path / "nats" / "accounts"
    accounts.mkdir(parents=True)
    shutil.copy(tmp_path / "secrets" / "nats" / "accounts.conf", accounts)
    config = NatsServerConfig(port=free_port(), data_dir=tmp_path / "jetstream", accounts="accounts/accounts.conf")
    server = NatsServer(config, tmp_path / "nats")
    await server.start()
    try:
        for user, (holder, file) in SEEDS.items():
            login = Login(source=STAGE_OF.get(user, user), nkey_file=tmp_path / "secrets" / holder / file)
            async with connected_once(config.url, login, timeout=5) as client:
                if user == "trainer":
                    with pytest.raises(NotPermitted):
                        await client.request("tidemill.model.registered.v1", timeout=5)
    finally:
        await server.stop()


@pytest.mark.parametrize("configuration", ["server.conf", "nats-cluster.conf"])
def test_a_server_takes_the_configuration_with_its_secrets(configuration: str, tmp_path: Path) -> None:
    make_secrets(tmp_path / "secrets")
    deploy = REPOSITORY / "deploy"
    for path in (*(deploy / "nats").glob("*.conf"), deploy / "docker" / "nats-cluster.conf"):
        shutil.copy(path, tmp_path)
    (tmp_path / "accounts").symlink_to(tmp_path / "secrets" / "nats")
    checked = subprocess.run(
        [nats_server_binary(), "-t", "-c", tmp_path / configuration],
        env=environment(all_services()["nats"]) | {"NATS_STORE": str(tmp_path / "data")},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    assert "is valid" in checked.stderr


def test_a_replaced_signing_key_is_trusted_beside_the_one_before(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    before = TrustedSigners(tmp_path / "inference" / TRUSTED_SIGNERS).keys()
    (tmp_path / "registry" / SIGNING_KEY).unlink()
    make_secrets(tmp_path)
    signer = SigningKey.read(tmp_path / "registry" / SIGNING_KEY)
    assert TrustedSigners(tmp_path / "inference" / TRUSTED_SIGNERS).keys().keys() == {*before, signer.public.id}


def test_the_encryption_key_is_a_master_key(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    store_key = bytes(32)
    wrapped = read_master_key(tmp_path / "trainer" / "encryption-key").wrap(store_key)
    assert read_master_key(tmp_path / "inference" / "encryption-key").unwrap(wrapped) == store_key


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
