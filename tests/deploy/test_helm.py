"""What the chart promises about its pods: hardened, configured by names that exist, ended in time, found by others."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.deploy.rendering import (
    EVERYTHING,
    GIVEN,
    WORKS,
    every,
    objects,
    of_kind,
    pods,
    rendered,
    schema_writer,
    selects,
)
from tidemill.settings import PlatformSettings
from tidemill.stage.application import PLANNED_WITHIN

FOREIGN = {
    "AWS_REGION", "AWS_ENDPOINT_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "PGSSLROOTCERT",
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
}  # fmt: skip
STORE = {"TIDEMILL_STORE_CREDENTIALS_FILE", "TIDEMILL_STORE_CA", "TIDEMILL_ENCRYPTION_KEY_FILE"}
"""Read where the store is opened (``tidemill.artifacts.s3``)."""
CLIENT = {"TIDEMILL_URL", "TIDEMILL_API_KEY", "TIDEMILL_CA"}
"""Read by the command, not by settings (``tidemill.client``)."""
MOUNTED = (
    "secrets/nats.nk", "secrets/store-credentials", "secrets/database-password", "secrets/api-key",
    "secrets/signing-key.pem", "trusted-signers/a.pem", "tls/tls.crt", "tls/tls.key",
    "ca/bus/ca.crt", "ca/store/ca.crt", "ca/database/ca.crt",
)  # fmt: skip


@every
def test_every_container_is_hardened(name: str) -> None:
    found = pods(rendered(name))
    assert {pod.service for pod in found} == {*schema_writer().SERVICES, "tools"}
    for pod in found:
        assert pod.spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys()
        security = pod.spec["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"], security["runAsGroup"]) == (True, 10001, 10001)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod.containers:
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"] is True
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert "privileged" not in own
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
        for volume in pod.spec["volumes"]:
            assert "hostPath" not in volume
            assert volume.get("emptyDir") != {}, f"{volume['name']} of {pod.owner} may fill the node's disk"


@every
def test_each_service_sees_its_own_secrets_and_no_value_is_in_the_chart(name: str) -> None:
    found = rendered(name)
    assert of_kind(found, "Secret") == []
    names = GIVEN[name].get("secrets", {})
    for pod in pods(found):
        mounted = {volume["secret"]["secretName"] for volume in pod.spec["volumes"] if volume["name"] == "secrets"}
        holder = "provision" if pod.kind == "Job" else pod.service
        if pod.kind != "Pod":
            assert mounted == {names.get(holder, f"tidemill-{holder}")}
        for variable in pod.environment.values():
            looks_secret = re.search(r"PASSWORD|SECRET|TOKEN|API_KEY|CREDENTIALS|NKEY", variable["name"])
            if looks_secret and "value" in variable:
                assert variable["name"].endswith("_FILE"), variable
                assert variable["value"].startswith("/run/tidemill/"), variable
            assert not re.search(r"//[^/]*:[^/]*@", variable.get("value", "")), variable


@every
def test_every_variable_is_one_that_the_service_reads(name: str) -> None:
    writer = schema_writer()
    shared = set().union(*(writer.readable(one) for one in writer.SHARED))
    for pod in pods(rendered(name)):
        (container,) = pod.containers
        given = [variable["name"] for variable in container["env"]]
        assert len(given) == len(set(given)), f"{pod.owner} sets a variable twice"
        own = writer.SERVICES.get(pod.service) or writer.SERVICES["registry"]  # provisioning prepares its database
        known = shared | writer.readable(own) | STORE | FOREIGN | (CLIENT if pod.kind == "Pod" else set())
        assert set(given) <= known, f"{pod.owner}: nobody reads {set(given) - known}"


@every
def test_the_settings_take_what_the_chart_gives_them(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = tmp_path / "run"
    for path in MOUNTED:
        (files / path).parent.mkdir(parents=True, exist_ok=True)
        (files / path).write_text("kept-in-a-file\n")
    for pod in pods(rendered(name)):
        settings = schema_writer().SERVICES.get(pod.service)
        if settings is None:
            continue
        with monkeypatch.context() as environment:
            for variable in pod.environment.values():
                value = variable.get("value", "2")  # the container's processors
                environment.setenv(variable["name"], value.replace("/run/tidemill", str(files)))
            read = settings()
        assert read.platform.data_dir == Path("/var/lib/tidemill")
        assert read.shutdown_grace.total_seconds() > 0
        if pod.service == "trainer":
            assert list(read.resource_classes) == json.loads(
                pod.environment["TIDEMILL_TRAINER_RESOURCE_CLASSES"]["value"]
            )
            assert read.threads == 2


@every
def test_there_is_time_to_hand_a_job_back(name: str) -> None:
    writer = schema_writer()
    for pod in pods(rendered(name)):
        if pod.service not in WORKS:
            continue
        grace = pod.environment[f"TIDEMILL_{pod.service.upper()}_SHUTDOWN_GRACE"]["value"]
        seconds = writer.SERVICES[pod.service](shutdown_grace=grace).shutdown_grace.total_seconds()
        leaving = seconds + 5 + PLANNED_WITHIN  # Worker.leave, then what is being planned
        assert pod.spec["terminationGracePeriodSeconds"] > leaving


@every
def test_disruption_budgets_take_one_pod_at_a_time_of_every_deployment(name: str) -> None:
    found = rendered(name)
    budgets = of_kind(found, "PodDisruptionBudget")
    if GIVEN[name].get("disruptionBudgets") is False:
        assert budgets == []
        return
    deployed = [pod for pod in pods(found) if pod.kind == "Deployment"]
    for pod in deployed:
        assert len([one for one in budgets if selects(one["spec"]["selector"], pod.labels)]) == 1, pod.owner
    for budget in budgets:
        assert budget["spec"]["maxUnavailable"] == 1
        assert len([pod for pod in deployed if selects(budget["spec"]["selector"], pod.labels)]) == 1


@every
def test_names_that_refer_to_each_other_exist(name: str) -> None:
    found = rendered(name)
    deployments = {one["metadata"]["name"] for one in of_kind(found, "Deployment")}
    accounts = {one["metadata"]["name"] for one in of_kind(found, "ServiceAccount")}
    for one in of_kind(found, "ScaledObject", "HorizontalPodAutoscaler"):
        assert one["spec"]["scaleTargetRef"]["name"] in deployments
    for pod in pods(found):
        assert pod.spec["serviceAccountName"] in accounts
    (service,) = of_kind(found, "Service")
    (gateway,) = [pod for pod in pods(found) if selects({"matchLabels": service["spec"]["selector"]}, pod.labels)]
    assert gateway.service == "inference"
    for one in of_kind(found, "Deployment"):
        assert selects(one["spec"]["selector"], one["spec"]["template"]["metadata"]["labels"])
        constraints = one["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert {part["topologyKey"] for part in constraints} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }
        assert all(
            selects(part["labelSelector"], one["spec"]["template"]["metadata"]["labels"]) for part in constraints
        )


def test_private_authorities_are_mounted_where_they_are_needed() -> None:
    for pod in [pod for pod in pods(objects(EVERYTHING)) if pod.kind != "Pod"]:
        mounts = {mount["mountPath"] for mount in pod.containers[0]["volumeMounts"]}
        assert {"/run/tidemill/ca/bus", "/run/tidemill/ca/store"} <= mounts
        assert ("/run/tidemill/ca/database" in mounts) is (pod.service in ("registry", "tools"))


def test_every_file_that_a_variable_names_is_mounted() -> None:
    for pod in pods(objects(EVERYTHING)):
        mounts = [mount["mountPath"] for mount in pod.containers[0]["volumeMounts"]]
        for variable in pod.environment.values():
            path = variable.get("value", "")
            if path.startswith("/"):
                assert any(path.startswith(mount) for mount in mounts), variable


def test_acknowledging_takes_as_long_everywhere() -> None:
    waits = {pod.environment["TIDEMILL_ACK_WAIT"]["value"] for pod in pods(rendered("large")) if pod.kind != "Pod"}
    assert waits == {"PT30S"}
    assert PlatformSettings(ack_wait="PT30S").silence.total_seconds() == 24


def test_labels_are_unique_to_a_deployment() -> None:
    found = rendered("large")
    for one in of_kind(found, "Deployment"):
        selected = [pod.owner for pod in pods(found) if selects(one["spec"]["selector"], pod.labels)]
        assert selected == [one["metadata"]["name"]]
