"""`tidemill deploy provision` on a real NATS server, moto's S3 and a real database file."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import nats
import pytest
from sqlalchemy import create_engine, inspect

from tidemill.bus.streams import stream_configs, stream_limits, stream_names
from tidemill.platform.nats_server import NatsServer, NatsServerConfig, free_port
from tidemill.settings import PlatformSettings, StreamSettings
from tidemill.testing.s3 import bucket, s3, s3_endpoint

__all__ = ["bucket", "s3", "s3_endpoint"]


def provision(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tidemill.cli", "deploy", "provision", *arguments],
        env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


def variables(server: NatsServerConfig, store: str, folder: Path) -> dict[str, str]:
    password = folder / "nats-password"
    password.write_text(server.password + "\n")
    return {
        "TIDEMILL_NATS_URL": server.url,
        "TIDEMILL_NATS_USER": server.user,
        "TIDEMILL_NATS_PASSWORD_FILE": str(password),
        "TIDEMILL_STORE_URL": store,
        "TIDEMILL_DATA_DIR": str(folder),
    }


async def test_everything_that_services_need_is_there_afterwards(
    nats_server: NatsServer, s3: str, bucket: str, tmp_path: Path
) -> None:
    given = variables(nats_server.config, f"s3://{bucket}/prefix", tmp_path)
    for _ in range(2):
        done = provision("--json", TIDEMILL_STREAM_EVENTS_BYTES="2097152", **given)
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert document["store"] == f"s3://{bucket}/prefix"
        assert document["replicas"] == 1
        assert document["notifies"] is False
    client = await nats.connect(
        nats_server.config.url, user=nats_server.config.user, password=nats_server.config.password
    )
    limits = stream_limits(StreamSettings(), PlatformSettings().silence)
    assert {config.name for config in stream_configs(limits)} <= set(await stream_names(client))
    assert (await client.jetstream().stream_info("EVENTS")).config.max_bytes == 2 << 20
    await client.close()
    tables = inspect(create_engine(f"sqlite:///{tmp_path / 'registry.db'}")).get_table_names()
    assert "alembic_version" in tables


def test_a_store_that_cannot_notify_is_said_and_used_all_the_same(
    nats_server: NatsServer, s3: str, bucket: str, tmp_path: Path
) -> None:
    given = variables(nats_server.config, f"s3://{bucket}", tmp_path)
    done = provision("--notify", "arn:minio:sqs::TIDEMILL:nats", **given)
    assert done.returncode == 0, done.stderr
    assert "cannot notify 'arn:minio:sqs::TIDEMILL:nats'" in done.stdout
    assert "MINIO_NOTIFY_NATS" in done.stdout
    assert "what is put into its inbox starts no run" in done.stdout
    assert json.loads(provision("--json", "--notify", "", **given).stdout)["notifies"] is False


def test_a_target_that_the_store_has_is_told(nats_server: NatsServer, s3: str, bucket: str, tmp_path: Path) -> None:
    arn = "arn:aws:sqs:us-east-1:123456789012:somewhere"
    done = provision("--json", "--notify", arn, **variables(nats_server.config, f"s3://{bucket}", tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["notifies"] is True


async def test_a_server_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    config = NatsServerConfig(port=free_port(), user="tidemill", password="a-password", data_dir=tmp_path / "jetstream")
    given = variables(config, str(tmp_path / "store"), tmp_path)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tidemill.cli", "deploy", "provision",
        env=os.environ | given, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert b"store" in await process.stdout.readline()  # the streams are next, and nobody answers yet
    server = NatsServer(config, tmp_path / "nats")
    await server.start()
    out, err = await process.communicate()
    await server.stop()
    assert process.returncode == 0, err
    assert f"the streams at {config.url} are ready (1 replicas)" in out.decode()


def test_a_server_that_does_not_come_is_named(tmp_path: Path) -> None:
    config = NatsServerConfig(port=free_port(), user="tidemill", password="a-password", data_dir=tmp_path)
    done = provision("--wait", "1", **variables(config, str(tmp_path / "store"), tmp_path))
    assert done.returncode == 1
    assert "no NATS server answers" in done.stderr
    assert "a-password" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("TIDEMILL_ACK_WAIT", "soon", "TIDEMILL_ACK_WAIT: "),
        ("TIDEMILL_NATS_PASSWORD", "another", "TIDEMILL_NATS_PASSWORD and TIDEMILL_NATS_PASSWORD_FILE are both set"),
        ("TIDEMILL_NATS_PASSWORD_FILE", "/nowhere", "the file /nowhere cannot be read: No such file"),
    ],
)
def test_a_wrong_setting_is_said_in_words(variable: str, value: str, said: str, tmp_path: Path) -> None:
    config = NatsServerConfig(port=free_port(), user="tidemill", password="a-password", data_dir=tmp_path)
    given = variables(config, str(tmp_path / "store"), tmp_path) | {variable: value}
    done = provision(**given)
    assert done.returncode == 1
    assert said in done.stderr
