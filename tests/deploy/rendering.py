"""The chart, rendered by Helm's own engine without a cluster, and its pods as plain dictionaries."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.deploy import helm_engine

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "tidemill"
NAMESPACE = "ml"

Object = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod as a workload's template describes it."""

    owner: str
    kind: str
    labels: dict[str, str]
    spec: Object

    @property
    def service(self) -> str:
        """Which of our programs it runs."""
        return self.labels.get("tidemill.dev/service", "tools")

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def environment(self) -> dict[str, Object]:
        """The variables of its one container, by name."""
        (container,) = self.containers
        return {variable["name"]: variable for variable in container["env"]}


def values(name: str, **changes: Any) -> Object:
    """The values of a file of the chart; ``default`` are the chart's own with what has to be said. ``changes`` replace
    whole keys, those with ``__`` for a dot what is below."""
    found: Object = (
        {"store": {"url": "s3://bucket/prefix"}}
        if name == "default"
        else yaml.safe_load((CHART / f"values-{name}.yaml").read_text(encoding="utf-8"))
    )
    for key, value in changes.items():
        *above, last = key.split("__")
        target = found
        for part in above:
            target = target.setdefault(part, {})
        target[last] = value
    return found


def render(given: Object, *, install: bool = True, chart: Path = CHART) -> dict[str, str]:
    """The text of every template, by its path. Raises HelmRefused."""
    options = {
        "name": "tidemill", "namespace": NAMESPACE, "revision": 1, "is_install": install, "is_upgrade": not install,
    }  # fmt: skip
    return helm_engine.render(chart, given, options)


def objects(given: Object, **options: Any) -> list[Object]:
    """Everything that would be given to Kubernetes."""
    return [
        document
        for path, text in sorted(render(given, **options).items())
        if path.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]


def of_kind(found: Iterable[Object], *kinds: str) -> list[Object]:
    return [one for one in found if one["kind"] in kinds]


def named(found: Iterable[Object], kind: str, name: str) -> Object:
    (one,) = [one for one in of_kind(found, kind) if one["metadata"]["name"] == name]
    return one


def pods(found: Sequence[Object]) -> list[Pod]:
    """The pods of all workloads, and those that stand alone."""
    made = [
        Pod(one["metadata"]["name"], one["kind"], template["metadata"]["labels"], template["spec"])
        for one in of_kind(found, "Deployment", "Job")
        if (template := one["spec"]["template"])
    ]
    alone = [
        Pod(one["metadata"]["name"], "Pod", one["metadata"]["labels"], one["spec"]) for one in of_kind(found, "Pod")
    ]
    return made + alone


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes what has these labels."""
    wanted = selector.get("matchLabels", {})
    conditions = selector.get("matchExpressions", [])
    assert all(condition["operator"] == "In" for condition in conditions)
    return all(labels.get(name) == value for name, value in wanted.items()) and all(
        labels.get(condition["key"]) in condition["values"] for condition in conditions
    )


@functools.cache
def schema_writer() -> ModuleType:
    """``deploy/helm/write_schema.py``."""
    spec = importlib.util.spec_from_file_location("write_schema", CHART.parent / "write_schema.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EVERYTHING: Object = values(
    "large",
    inference__httpRoute={"enabled": True, "host": "tidemill.example.com", "parentRefs": [{"name": "public"}]},
    inference__tls={"secret": "tidemill-gateway-tls"},
    store__endpoint="https://s3.example.com",
    store__tls={"caSecret": "tidemill-store-ca"},
    store__credentialsInSecrets=True,
    store__encrypted=True,
    store__notify="arn:minio:sqs::TIDEMILL:nats",
    monitoring__annotations=True,
)
GIVEN = {name: values(name) for name in ("default", "minimal", "large")} | {"everything": EVERYTHING}
"""The values that tests are about, by name."""
WORKS = {"ingest": "ingest", "preprocess": "preprocess", "trainer": "train", "compressor": "compress"}
"""The stage that each working service does."""

every = pytest.mark.parametrize("name", GIVEN)


@functools.cache
def rendered(name: str) -> list[Object]:
    """What one of ``GIVEN`` makes. The same for everybody: not to be changed."""
    return objects(GIVEN[name])
