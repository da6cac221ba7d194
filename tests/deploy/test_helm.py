"""What the chart promises about its pods: hardened, configured by names that exist, fenced, spread, and scaled by real figures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.inference.workload import Workload
from tests.deploy.rendering import Object, Pod, named, objects, of_kind, pods, render, schema_writer, selects, values
from tests.deploy.test_helm_schemas import EVERYTHING, GIVEN
from tidemill.bus import Bus
from tidemill.bus.waiting import CONSUMED
from tidemill.settings import PlatformSettings
from tidemill.stage.application import PLANNED_WITHIN
from tidemill.testing.nats import running_nats, settings_for

FOREIGN = {
    "AWS_REGION", "AWS_ENDPOINT_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "PGSSLROOTCERT",
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
}  # fmt: skip
STORE = {"TIDEMILL_STORE_CREDENTIALS_FILE", "TIDEMILL_STORE_CA"}
"""Read where the store is opened (``tidemill.artifacts.s3``)."""
CLIENT = {"TIDEMILL_URL", "TIDEMILL_API_KEY", "TIDEMILL_CA"}
"""Read by the command, not by settings (``tidemill.client``)."""
WORKS = {"ingest": "ingest", "preprocess": "preprocess", "trainer": "train", "compressor": "compress"}

every = pytest.mark.parametrize("name", GIVEN)


def rendered(name: str) -> list[Object]:
    return objects(GIVEN[name])


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
        holder = "operator" if pod.kind == "Job" else pod.service
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
def test_the_settings_take_what_the_chart_gives_them(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = tmp_path / "run"
    for path in ("secrets/nats.nk", "secrets/store-credentials", "secrets/database-password", "secrets/api-key",
                 "tls/tls.crt", "tls/tls.key", "trusted-signers/a.pem", "secrets/signing-key.pem", "ca/bus/ca.crt", "ca/store/ca.crt", "ca/database/ca.crt"):  # fmt: skip
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
            assert list(read.resource_classes) == json.loads(pod.environment["TIDEMILL_TRAINER_RESOURCE_CLASSES"]["value"])
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
        assert {part["topologyKey"] for part in constraints} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        assert all(selects(part["labelSelector"], one["spec"]["template"]["metadata"]["labels"]) for part in constraints)


# --- the network ---------------------------------------------------------------------------------------------------


def ways(found: list[Object], pod: Pod, direction: str) -> list[Object]:
    """The rules of all policies that let something in or out of a pod."""
    return [
        rule
        for policy in of_kind(found, "NetworkPolicy")
        if selects(policy["spec"]["podSelector"], pod.labels)
        for rule in policy["spec"].get(direction, [])
    ]


def ports(rules: list[Object]) -> set[int]:
    return {port["port"] for rule in rules for port in rule["ports"]}


@every
def test_nothing_goes_in_or_out_but_what_is_listed(name: str) -> None:
    found = rendered(name)
    denied = named(found, "NetworkPolicy", "tidemill-default-deny")
    assert denied["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & denied["spec"].keys()
    for pod in pods(found):
        assert selects(denied["spec"]["podSelector"], pod.labels), pod.owner
        assert (ports(ways(found, pod, "ingress")) == {8000}) is (pod.service == "inference"), pod.owner
        out = ports(ways(found, pod, "egress"))
        store = 9000 if name == "minimal" else 443
        assert {53, 4222, store} <= out, f"{pod.owner} does not reach names, bus or store"
        needs_database = (pod.service == "registry" or pod.kind == "Job") and name != "minimal"
        assert (5432 in out) is needs_database, pod.owner
        assert (80 in out) is (pod.service in ("ingest", "trainer")), pod.owner


def test_what_is_fetched_from_outside_is_public() -> None:
    found = rendered("default")
    for policy in [one for one in of_kind(found, "NetworkPolicy") if "-outside-" in one["metadata"]["name"]]:
        for rule in policy["spec"]["egress"]:
            for peer in rule["to"]:
                assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= set(peer["ipBlock"]["except"])


def test_the_gateway_hears_its_ingress_controller_and_who_scales_and_scrapes() -> None:
    (rule,) = named(rendered("large"), "NetworkPolicy", "tidemill-inference")["spec"]["ingress"]
    namespaces = [peer["namespaceSelector"]["matchLabels"] for peer in rule["from"] if "namespaceSelector" in peer]
    assert [one["kubernetes.io/metadata.name"] for one in namespaces] == ["ingress-nginx", "keda", "monitoring"]


def test_the_charts_beside_this_one_are_fenced_as_well_and_gone_when_they_are() -> None:
    found = rendered("default")
    beside = {one["metadata"]["name"] for one in of_kind(found, "NetworkPolicy")} & {"tidemill-nats", "tidemill-postgres"}
    assert beside == {"tidemill-nats", "tidemill-postgres"}
    text = "".join(render(values(
        "default", bus__url="tls://nats.example:4222", nats__enabled=False,
        database__url="postgresql+psycopg://tidemill@db.example/tidemill", postgres__enabled=False,
    )).values())  # fmt: skip
    assert "tidemill-nats:" not in text
    assert "tidemill-postgres" not in text
    assert "tls://nats.example:4222" in text
    assert "postgresql+psycopg://tidemill@db.example/tidemill" in text


# --- scaling -------------------------------------------------------------------------------------------------------


def series(location: str) -> tuple[str, dict[str, str]]:
    """Metric and labels of a KEDA ``valueLocation``."""
    metric, labels = re.fullmatch(r"(\w+)\{(.*)\}", location).groups()  # type: ignore[union-attr]
    return metric, dict(re.findall(r'(\w+)="([^"]*)"', labels))


async def told_by_the_gateway(folder: Path) -> list[tuple[str, dict[str, str]]]:
    """What the gateway's metrics tell of waiting work, asked of real streams on which nothing has ever been."""
    async with running_nats(folder) as server:
        bus = Bus.from_settings(settings_for(server, folder), "inference")
        await bus.connect()
        text = await Workload(bus).render()
        await bus.broker.stop()
    return [(one.name, one.labels) for family in text_string_to_metric_families(text.decode()) for one in family.samples]


async def test_every_figure_that_scales_is_one_that_the_gateway_tells(tmp_path: Path) -> None:
    told = await told_by_the_gateway(tmp_path)
    scaled = of_kind(rendered("large"), "ScaledObject")
    assert len(scaled) == 6
    for one in scaled:
        for trigger in one["spec"]["triggers"]:
            assert trigger["type"] == "metrics-api"
            assert trigger["metadata"]["format"] == "prometheus"
            metric, labels = series(trigger["metadata"]["valueLocation"])
            assert [labels for name, labels in told if name == metric].count(labels) == 1, trigger


def test_workers_are_scaled_by_the_classes_that_they_take_and_by_what_they_plan() -> None:
    found = rendered("large")
    planned: set[str] = set()
    for pod in [pod for pod in pods(found) if pod.service in WORKS]:
        spec = named(found, "ScaledObject", pod.owner)["spec"]
        asked = [series(trigger["metadata"]["valueLocation"]) for trigger in spec["triggers"]]
        assert {labels["stage"] for _, labels in asked} == {WORKS[pod.service]}
        classes = {labels["resource_class"] for metric, labels in asked if metric == "tidemill_waiting_jobs"}
        given = pod.environment.get("TIDEMILL_TRAINER_RESOURCE_CLASSES")
        own = set(json.loads(given["value"])) if given else {"cpu", "io"} if pod.service == "ingest" else {"cpu"}
        assert classes == own, pod.owner
        if any(metric == "tidemill_waiting_events" for metric, _ in asked):
            planned.add(WORKS[pod.service])
        formula = spec["advanced"]["scalingModifiers"]["formula"]
        assert formula.split(" + ") == [trigger["name"] for trigger in spec["triggers"]]
        assert all(re.fullmatch(r"[a-z_]+", trigger["name"]) for trigger in spec["triggers"])
    assert planned == set(CONSUMED), "a stage at zero would never be woken to plan"


@every
def test_what_is_scaled_has_no_number_of_its_own(name: str) -> None:
    found = rendered(name)
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in of_kind(found, "ScaledObject", "HorizontalPodAutoscaler")}
    for one in of_kind(found, "Deployment"):
        assert ("replicas" in one["spec"]) is (one["metadata"]["name"] not in scaled), one["metadata"]["name"]
    assert bool(scaled) is GIVEN[name].get("autoscaling", {}).get("enabled", False)


def test_trainers_go_to_zero_and_the_gateway_never() -> None:
    found = rendered("large")
    assert named(found, "ScaledObject", "tidemill-trainer-gpu")["spec"]["minReplicaCount"] == 0
    assert named(found, "HorizontalPodAutoscaler", "tidemill-inference")["spec"]["minReplicas"] == 6


# --- graphics processors, TLS, telemetry -----------------------------------------------------------------------------


def test_a_pool_with_gpus_gets_them_and_lands_where_they_are() -> None:
    found = rendered("large")
    (pod,) = [pod for pod in pods(found) if pod.owner == "tidemill-trainer-large"]
    (container,) = pod.containers
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 8
    assert container["image"] == "ghcr.io/tidemill/trainer-cuda:0.1.0"
    assert pod.spec["runtimeClassName"] == "nvidia"
    assert pod.spec["nodeSelector"] == {"node.kubernetes.io/instance-type": "p5.48xlarge"}
    assert pod.spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod.environment["TIDEMILL_TRAINER_DEVICE"]["value"] == "cuda"
    # A rolling update must not wait for a ninth GPU.
    assert named(found, "Deployment", pod.owner)["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}
    (plain,) = [pod for pod in pods(found) if pod.owner == "tidemill-trainer-cpu"]
    assert "nvidia.com/gpu" not in str(plain.spec)


@every
def test_threads_follow_the_container_not_the_node(name: str) -> None:
    for pod in [pod for pod in pods(rendered(name)) if pod.service in WORKS]:
        for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            assert pod.environment[variable]["valueFrom"]["resourceFieldRef"]["resource"] == "limits.cpu"


def test_tls_reaches_the_gateway_its_probes_and_those_who_ask_it() -> None:
    found = objects(EVERYTHING)
    (gateway,) = [pod for pod in pods(found) if pod.service == "inference"]
    (container,) = gateway.containers
    assert {container[probe]["httpGet"]["scheme"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")} == {"HTTPS"}
    assert gateway.environment["TIDEMILL_INFERENCE_TLS_CERT"]["value"] == "/run/tidemill/tls/tls.crt"
    assert "TIDEMILL_INFERENCE_TLS" not in gateway.environment
    urls = {trigger["metadata"]["url"] for one in of_kind(found, "ScaledObject") for trigger in one["spec"]["triggers"]}
    assert urls == {"https://tidemill-inference.ml.svc:8000/metrics"}
    (monitor,) = of_kind(found, "ServiceMonitor")
    assert monitor["spec"]["endpoints"][0]["scheme"] == "https"
    (test,) = [pod for pod in pods(found) if pod.kind == "Pod"]
    assert test.environment["TIDEMILL_URL"]["value"] == "https://tidemill-inference.ml.svc:8000"
    (ingress,) = of_kind(found, "Ingress")
    assert ingress["spec"]["tls"] == [{"hosts": ["tidemill.example.com"], "secretName": "tidemill-gateway-tls"}]


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

