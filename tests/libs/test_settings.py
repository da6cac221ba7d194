"""Settings from the environment: secrets in files, and mistakes in words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.inference.settings import InferenceSettings
from services.trainer.settings import TrainerSettings
from tidemill.errors import InvalidInput
from tidemill.secret_files import secret
from tidemill.settings import PlatformSettings, read_settings


def test_a_secret_may_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("from a file\n")
    monkeypatch.setenv("TIDEMILL_INFERENCE_API_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("TIDEMILL_NATS_PASSWORD_FILE", str(tmp_path / "key"))
    settings = read_settings(InferenceSettings)
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "from a file"
    assert settings.platform.nats_password is not None
    assert settings.platform.nats_password.get_secret_value() == "from a file"
    assert "from a file" not in repr(settings)


def test_without_a_file_the_variable_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_NATS_PASSWORD", "from the environment")
    password = read_settings(PlatformSettings).nats_password
    assert password is not None
    assert password.get_secret_value() == "from the environment"


def test_two_secrets_for_one_setting_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text("one")
    monkeypatch.setenv("TIDEMILL_NATS_PASSWORD", "two")
    monkeypatch.setenv("TIDEMILL_NATS_PASSWORD_FILE", str(tmp_path / "password"))
    with pytest.raises(InvalidInput, match="TIDEMILL_NATS_PASSWORD and TIDEMILL_NATS_PASSWORD_FILE are both set"):
        read_settings(PlatformSettings)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read: No such file"), (b"\n", "is empty"), (b"\xff\xfe", "cannot be read: it is not text")],
)
def test_a_file_that_holds_no_secret_is_named(
    content: bytes | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("TIDEMILL_NATS_PASSWORD_FILE", str(path))
    with pytest.raises(InvalidInput, match=f"TIDEMILL_NATS_PASSWORD_FILE: the file {path} {said}"):
        read_settings(PlatformSettings)


def test_a_file_is_for_secrets_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text("nats://elsewhere:4222")
    monkeypatch.setenv("TIDEMILL_NATS_URL_FILE", str(tmp_path / "url"))
    assert read_settings(PlatformSettings).nats_url == "nats://127.0.0.1:4222"


def test_a_secret_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("mine\r\n")
    assert secret("TIDEMILL_API_KEY", {"TIDEMILL_API_KEY_FILE": str(tmp_path / "key")}) == "mine"
    assert secret("TIDEMILL_API_KEY", {"TIDEMILL_API_KEY": "mine", "TIDEMILL_API_KEY_FILE": ""}) == "mine"
    assert secret("TIDEMILL_API_KEY", {}) is None


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("TIDEMILL_TRAINER_DEVICE", "tpu", "TIDEMILL_TRAINER_DEVICE: Input should be 'auto', 'cpu' or 'cuda'"),
        ("TIDEMILL_ACK_WAIT", "soon", "TIDEMILL_ACK_WAIT: "),
        ("TIDEMILL_TRAINER_RESOURCE_CLASSES", "gpu", "resource_classes"),
    ],
)
def test_a_mistake_names_its_variable(variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidInput) as mistake:
        read_settings(TrainerSettings)
    assert said in str(mistake.value)


@pytest.mark.parametrize("service", ["ingest", "registry", "inference"])
def test_a_service_says_what_is_wrong_with_its_settings_and_ends(service: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", f"services.{service}"],
        env=os.environ | {"TIDEMILL_ACK_WAIT": "soon"}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    (sentence,) = done.stderr.strip().splitlines()
    assert sentence.startswith(f"{service}: TIDEMILL_ACK_WAIT: ") or f"{service}: TIDEMILL_ACK_WAIT: " in sentence
