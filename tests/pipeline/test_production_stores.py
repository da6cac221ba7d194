"""The whole platform on S3 (TLS, keys from a file, encrypted) and PostgreSQL (password from a file).

A dataset is published, its model served; the database is made again, the platform backed up and restored elsewhere.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.pipeline.conftest import TINY, Whole, reviews, start, stop, write_csv
from tests.pipeline.test_faults import when_back
from tidemill.artifacts.encryption.master import write_master_key
from tidemill.testing.certificates import Authority
from tidemill.testing.postgresql import PostgresServer
from tidemill.testing.s3 import troubled_s3

TEXTS = ["great superb kettle", "糟糕 讨厌 水壶"]
SECRET = "topsecret-of-the-store"


@pytest.fixture(scope="module")
def stores(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], None]]:
    """Lets the environment name an empty bucket and an empty database whenever it is called."""
    folder = tmp_path_factory.mktemp("access")
    authority = Authority(folder)
    (folder / "store.env").write_text(f"AWS_ACCESS_KEY_ID=tidemill-test\nAWS_SECRET_ACCESS_KEY={SECRET}\n")
    (folder / "password").write_text(postgres_server.password)
    with troubled_s3(authority.issue("store")) as s3, pytest.MonkeyPatch.context() as environment:

        def name_empty_ones() -> None:
            environment.setenv("TIDEMILL_STORE_URL", f"s3://tidemill-{uuid4().hex[:12]}/platform")
            url = postgres_server.url(postgres_server.create(), password="")
            environment.setenv("TIDEMILL_REGISTRY_DATABASE_URL", url)

        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.delenv(name, raising=False)
        environment.setenv("AWS_ENDPOINT_URL", s3.url)
        environment.setenv("AWS_REGION", "us-east-1")
        environment.setenv("TIDEMILL_STORE_CA", str(authority.file))
        environment.setenv("TIDEMILL_STORE_CREDENTIALS_FILE", str(folder / "store.env"))
        environment.setenv("TIDEMILL_REGISTRY_DATABASE_PASSWORD_FILE", str(folder / "password"))
        write_master_key(folder / "master.key")
        environment.setenv("TIDEMILL_ENCRYPTION_KEY_FILE", str(folder / "master.key"))
        yield name_empty_ones


@pytest.mark.full
def test_published_served_rebuilt_backed_up_and_restored(
    stores: Callable[[], None], postgres_server: PostgresServer, tmp_path: Path
) -> None:
    stores()
    old = prepared(tmp_path / "old")
    try:
        data = write_csv(tmp_path / "reviews.csv", reviews())
        finished = old.client.publish(data, name="reviews", recipe=TINY).wait(timeout=240)
        assert finished.state == "finished", finished.error
        before = when_back(lambda: seen(old, finished.run_id))
        assert [one["label"] for one in before["answers"]] == ["positive", "negative"]
        database = old.environment["TIDEMILL_REGISTRY_DATABASE_URL"].rpartition("/")[2]
        postgres_server.execute("TRUNCATE versions, models, aliases, runs, stages", database)
        rebuilt = old.document("registry", "rebuild")
        assert rebuilt["runs"] == 1
        assert rebuilt["database"].startswith("postgresql+psycopg://owner@127.0.0.1:")
        assert when_back(lambda: seen(old, finished.run_id)) == before
        assert "postgresql+psycopg://" in healthy(old)["database"]
        backup = f"s3://{old.environment['TIDEMILL_STORE_URL'].split('/')[2]}/backup"
        assert old.document("backup", backup)["damages"] == []
        refused = old.cli("restore", backup, "--data-dir", str(tmp_path / "refused"), check=False)
        assert refused.returncode == 1
        assert "holds 1 runs of a platform already" in " ".join(refused.stderr.split())
    finally:
        stop(old)
    stores()
    new = tmp_path / "new"
    old.environment |= {name: os.environ[name] for name in ("TIDEMILL_STORE_URL", "TIDEMILL_REGISTRY_DATABASE_URL")}
    old.cli("store", "prepare", "--data-dir", str(new))
    assert old.document("restore", backup, "--data-dir", str(new))["runs"] == 1
    moved = start(new)
    try:
        assert when_back(lambda: seen(moved, finished.run_id), seconds=60) == before
        again = moved.client.publish(data, name="reviews", recipe=TINY).wait(timeout=60)
        assert (again.state, again.version) == ("finished", 1)
    finally:
        stop(moved)
    secrets = (SECRET, postgres_server.password)
    for path in [*tmp_path.rglob("*.log"), *tmp_path.rglob("*.json"), *tmp_path.rglob("*.jsonl")]:
        assert not any(secret in path.read_text(errors="replace") for secret in secrets), path


def prepared(folder: Path) -> Whole:
    """A platform on a bucket that was made for it."""
    folder.mkdir()
    environment = os.environ | {"TIDEMILL_DATA_DIR": str(folder)}
    Whole(folder, None, environment).cli("store", "prepare")  # type: ignore[arg-type]
    return start(folder)


def healthy(whole: Whole, seconds: float = 120) -> dict[str, str]:
    """What the doctor says of each part, once nothing is wrong: its own patience is short on a busy machine."""
    deadline = time.monotonic() + seconds
    while True:
        findings = json.loads(whole.cli("doctor", "--json", check=False).stdout)["findings"]
        wrong = [one for one in findings if one["state"] == "failed"]
        if not wrong:
            return {one["check"]: one["message"] for one in findings}
        assert time.monotonic() < deadline, wrong


def seen(whole: Whole, run_id: str) -> dict[str, Any]:
    """What a person sees of the run and its model."""
    return {
        "run": whole.client.run(run_id).show().model_dump(mode="json"),
        "model": whole.client.model("reviews").model_dump(mode="json"),
        "answers": whole.client.predict("reviews", TEXTS)["predictions"],
    }
