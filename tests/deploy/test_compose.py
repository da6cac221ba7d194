"""The compose file: its schema, and what no schema can say. None of it needs Docker but the last."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from services.compressor.settings import CompressorSettings
from services.inference.settings import InferenceSettings
from services.ingest.settings import IngestSettings
from services.preprocess.settings import PreprocessSettings
from services.registry.settings import RegistrySettings
from services.trainer.settings import TrainerSettings
from tests.deploy.compose import COMPOSE, REPOSITORY, SERVICES, all_services, compose, environment
from tidemill.bus.subjects import BUCKET_NOTIFIED
from tidemill.deploy.inventory import DERIVED, HOLDERS, SECRETS, SEEDS, TRUSTED_SIGNERS
from tidemill.settings import PlatformSettings, StreamSettings

STAND_INS = REPOSITORY / "deploy" / "docker" / "stand-ins.yml"
WRITES_BESIDE_ITSELF = {"telemetry"}
"""Images whose programs write beside their own files, so that their root cannot be read-only."""
ONE_SHOT = {"secrets", "provision", "tools"}
SETTINGS: dict[str, type[BaseSettings]] = {
    "ingest": IngestSettings,
    "preprocess": PreprocessSettings,
    "trainer": TrainerSettings,
    "trainer-gpu": TrainerSettings,
    "compressor": CompressorSettings,
    "registry": RegistrySettings,
    "inference": InferenceSettings,
    "provision": RegistrySettings,
    "tools": RegistrySettings,
}
NOT_SETTINGS = {
    "TIDEMILL_URL", "TIDEMILL_API_KEY_FILE", "TIDEMILL_STORE_CREDENTIALS_FILE", "TIDEMILL_ENCRYPTION_KEY_FILE",
}  # fmt: skip
"""Variables of the command, the client and the store, which are read where they are used."""

every_service = pytest.mark.parametrize("name", sorted(all_services()))


@pytest.mark.parametrize("path", [COMPOSE, STAND_INS], ids=lambda path: path.name)
def test_the_file_follows_the_compose_schema(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@every_service
def test_a_service_has_no_rights_that_it_does_not_need(name: str) -> None:
    service = all_services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service.get("read_only") is (None if name in WRITES_BESIDE_ITSELF else True)
    assert not {"privileged", "cap_add", "pid", "ipc", "devices", "userns_mode"} & service.keys()
    assert service.get("user", "10001:10001").partition(":")[0] not in ("0", "root")


@every_service
def test_ports_are_published_on_the_loopback_interface_alone(name: str) -> None:
    for port in all_services()[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


@every_service
def test_images_are_pinned(name: str) -> None:
    tag = all_services()[name]["image"].partition(":")[2]
    assert re.search(r"\d", tag), f"{name} runs whatever {all_services()[name]['image']} is today"
    assert tag != "latest"


@every_service
def test_a_service_that_can_be_scaled_has_no_name_or_port_of_its_own(name: str) -> None:
    service = all_services()[name]
    assert "container_name" not in service
    if name in ("ingest", "preprocess", "trainer", "trainer-gpu", "compressor", "ray-worker"):
        assert "ports" not in service


@every_service
def test_logs_are_bounded_and_processes_come_back(name: str) -> None:
    service = all_services()[name]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")


@every_service
def test_a_service_sees_the_secrets_of_one_holder_alone(name: str) -> None:
    mounts = [one.split(":") for one in all_services()[name].get("volumes", []) if one.startswith("secrets-")]
    if name == "secrets":
        assert {(source, target) for source, target in mounts} == {
            (f"secrets-{holder}", f"/secrets/{holder}") for holder in HOLDERS
        }
        assert all_services()[name]["network_mode"] == "none"
        return
    folder = "/etc/nats/accounts" if name.startswith("nats") else "/run/tidemill/secrets"
    assert [mount[1:] for mount in mounts] == [[folder, "ro"]]


@every_service
def test_a_secret_is_named_by_its_file_and_held_by_whoever_names_it(name: str) -> None:
    service = all_services()[name]
    held = {one.split(":")[0].removeprefix("secrets-") for one in service.get("volumes", []) if "secrets" in one}
    files = {one.file for one in (*SECRETS, *DERIVED) if held & set(one.holders)}
    for variable, value in environment(service).items():
        if variable == "TIDEMILL_ENCRYPTION_KEY_FILE":
            assert value == "${TIDEMILL_ENCRYPTION_KEY_FILE:-}", "off until somebody says otherwise"
            assert "encryption-key" in files
        elif re.search(r"PASSWORD|SECRET|TOKEN|_KEY_FILE|API_KEY|CREDENTIALS|ROOT_USER|NKEY", variable):
            assert variable.endswith(("_FILE", "_PATH", "_NKEY_SEED_TIDEMILL")), f"{variable} holds a secret itself"
            folder, _, file = value.rpartition("/")
            assert folder == "/run/tidemill/secrets"
            assert file in files, f"{name} is told of {file}, which is not in its folder"
        assert not re.search(r"://[^/$@]+:[^/@]+@", value), f"{variable} holds a password"


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_variable_is_a_setting_of_the_service(name: str) -> None:
    known: set[str] = set()
    for kind in (PlatformSettings, StreamSettings, SETTINGS[name]):
        prefix = kind.model_config.get("env_prefix", "")
        for field in kind.model_fields:
            known |= {f"{prefix}{field}".upper(), f"{prefix}{field}_file".upper()}
    given = {variable for variable in environment(all_services()[name]) if variable.startswith("TIDEMILL_")}
    assert given - known - NOT_SETTINGS == set()


@pytest.mark.parametrize("name", [*SERVICES, "trainer-gpu"])
def test_a_service_starts_behind_provisioning_and_has_time_to_leave(name: str) -> None:
    service = all_services()[name]
    assert service["depends_on"]["provision"] == {"condition": "service_completed_successfully"}
    grace = SETTINGS[name].model_fields["shutdown_grace"].default.total_seconds()
    assert float(service["stop_grace_period"].removesuffix("s")) >= grace + 5


def test_each_is_somebody_else_on_the_bus() -> None:
    users = {holder: user for user, (holder, file) in SEEDS.items() if file == "nats.nk"}
    for name in (*SERVICES, "provision", "tools", "store"):
        given = environment(all_services()[name])
        seed = given["MINIO_NOTIFY_NATS_NKEY_SEED_TIDEMILL" if name == "store" else "TIDEMILL_NATS_NKEY_FILE"]
        assert seed == "/run/tidemill/secrets/nats.nk"
        (volume,) = [one for one in all_services()[name]["volumes"] if one.startswith("secrets-")]
        user = users[volume.partition(":")[0].removeprefix("secrets-")]
        assert user == {"tools": "operator", "store": "notifier"}.get(name, name)


def test_whoever_makes_or_loads_versions_is_told_whom_to_trust() -> None:
    for name in (*SERVICES, "provision", "tools"):
        told = environment(all_services()[name]).get("TIDEMILL_TRUSTED_SIGNERS")
        (trusted,) = [one for one in DERIVED if one.file.startswith(f"{TRUSTED_SIGNERS}/")]
        holder = "operator" if name == "tools" else name
        assert told == (f"/run/tidemill/secrets/{TRUSTED_SIGNERS}" if holder in trusted.holders else None)


def test_the_store_tells_the_subject_that_ingest_listens_to_and_provisioning_names_that_target() -> None:
    store = environment(all_services()["store"])
    assert store["MINIO_NOTIFY_NATS_SUBJECT_TIDEMILL"] == BUCKET_NOTIFIED
    assert all_services()["provision"]["command"][2:] == [
        "--notify", "${TIDEMILL_STORE_NOTIFY-arn:minio:sqs::TIDEMILL:nats}",
    ]  # fmt: skip


def test_provisioning_waits_for_what_it_prepares() -> None:
    assert all_services()["provision"]["depends_on"] == {
        server: {"condition": "service_healthy"} for server in ("nats", "store", "postgres")
    }


@pytest.mark.parametrize("name", ["nats", "nats-2", "nats-3", "store", "postgres"])
def test_a_server_starts_behind_its_secrets_and_says_how_it_is(name: str) -> None:
    service = all_services()[name]
    assert service["depends_on"] == {"secrets": {"condition": "service_completed_successfully"}}
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["networks"] == ["platform"], "nobody outside has business with it"


def test_the_inner_network_has_no_way_out() -> None:
    assert compose()["networks"]["platform"] == {"internal": True}
    outside = {name for name, one in all_services().items() if "outside" in one.get("networks", [])}
    assert outside == {"ingest", "trainer", "trainer-gpu", "inference", "telemetry"}


def test_every_volume_that_is_mounted_is_declared() -> None:
    named = {
        mount.split(":")[0]
        for service in all_services().values()
        for mount in service.get("volumes", [])
        if not mount.startswith((".", "/"))
    }
    assert named == compose()["volumes"].keys()


@pytest.mark.parametrize("file", ["cluster.env", "ray.env"])
def test_an_environment_file_sets_what_the_compose_file_reads(file: str) -> None:
    lines = (REPOSITORY / "deploy" / "docker" / file).read_text(encoding="utf-8").splitlines()
    given = {line.partition("=")[0]: line.partition("=")[2] for line in lines if line and not line.startswith("#")}
    profile = given.pop("COMPOSE_PROFILES")
    assert any(profile in one.get("profiles", []) for one in all_services().values())
    text = COMPOSE.read_text(encoding="utf-8")
    for variable in given:
        assert f"${{{variable}:-" in text, f"{variable} of {file} changes nothing"


def test_every_server_that_is_pulled_has_a_stand_in() -> None:
    pulled = {name for name, one in all_services().items() if "build" not in one}
    assert {name for name, one in compose(STAND_INS)["services"].items() if "image" in one} == pulled


@pytest.mark.skipif(shutil.which("docker") is None, reason="there is no docker here")
@pytest.mark.parametrize("options", [(), ("--env-file", "deploy/docker/cluster.env"), ("--profile", "gpu")], ids=str)
def test_docker_itself_reads_the_file(options: tuple[str, ...]) -> None:
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("there is no docker compose here")
    done = subprocess.run(
        ["docker", "compose", *options, "config", "--quiet"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
