"""What scales on what: figures that the gateway really tells, for every stage and every class that is taken."""

from __future__ import annotations

import json
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from services.inference.workload import Workload
from tests.deploy.rendering import GIVEN, WORKS, every, named, of_kind, pods, rendered
from tidemill.bus import Bus
from tidemill.bus.waiting import CONSUMED
from tidemill.testing.nats import running_nats, settings_for


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
    return [
        (one.name, one.labels) for family in text_string_to_metric_families(text.decode()) for one in family.samples
    ]


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
    scaled = {
        one["spec"]["scaleTargetRef"]["name"] for one in of_kind(found, "ScaledObject", "HorizontalPodAutoscaler")
    }
    for one in of_kind(found, "Deployment"):
        assert ("replicas" in one["spec"]) is (one["metadata"]["name"] not in scaled), one["metadata"]["name"]
    assert bool(scaled) is GIVEN[name].get("autoscaling", {}).get("enabled", False)


def test_trainers_go_to_zero_and_the_gateway_never() -> None:
    found = rendered("large")
    assert named(found, "ScaledObject", "tidemill-trainer-gpu")["spec"]["minReplicaCount"] == 0
    assert named(found, "HorizontalPodAutoscaler", "tidemill-inference")["spec"]["minReplicas"] == 6


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
    assert named(found, "Deployment", pod.owner)["spec"]["strategy"]["rollingUpdate"] == {
        "maxUnavailable": 1,
        "maxSurge": 0,
    }
    (plain,) = [pod for pod in pods(found) if pod.owner == "tidemill-trainer-cpu"]
    assert "nvidia.com/gpu" not in str(plain.spec)


@every
def test_threads_follow_the_container_not_the_node(name: str) -> None:
    for pod in [pod for pod in pods(rendered(name)) if pod.service in WORKS]:
        for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            assert pod.environment[variable]["valueFrom"]["resourceFieldRef"]["resource"] == "limits.cpu"
