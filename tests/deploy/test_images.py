"""Images that were built (deploy/docker/try.sh build): how large they are, what they hold. Skipped without Docker."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tests.deploy.compose import SERVICES, all_services

pytestmark = pytest.mark.full

LIMITS_MB = {"registry": 350, "inference": 600, "ingest": 700}


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module", params=SERVICES)
def image(request: pytest.FixtureRequest) -> str:
    """The tag of one service's image."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker here")
    name = all_services()[request.param]["image"]
    tag = name.replace("${PREPROCESS_TARGET:-preprocess}", "preprocess").replace("${TIDEMILL_VERSION:-", "").rstrip("}")
    if docker("image", "inspect", tag).returncode:
        pytest.skip(f"{tag} is not built here; deploy/docker/try.sh build")
    return str(tag)


def test_an_image_is_no_larger_than_it_may_be(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    service = image.partition("/")[2].partition(":")[0]
    size = json.loads(docker("image", "inspect", image).stdout)[0]["Size"] / 1e6
    with capsys.disabled():
        print(f"\n{image}: {size:.0f} MB", end=" ")
    assert size <= LIMITS_MB.get(service, 5_000)


def test_an_image_runs_its_service_without_rights(image: str) -> None:
    """The container's own user, a read-only root, nothing granted: the service gets as far as to its settings."""
    done = docker(
        "run", "--rm", "--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true",
        "--tmpfs=/tmp", "--env=TIDEMILL_ACK_WAIT=soon", image,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "TIDEMILL_ACK_WAIT" in done.stderr


def test_torch_is_in_the_images_that_train_and_compress_alone(image: str) -> None:
    code = "import importlib.util, os; print(importlib.util.find_spec('torch') is not None, os.getuid())"
    done = docker("run", "--rm", "--network=none", "--entrypoint=python", image, "-c", code)
    heavy = image.partition("/")[2].startswith(("trainer", "compressor"))
    assert done.stdout.split() == [str(heavy), "10001"], done.stderr
