"""What the chart renders is what Kubernetes and the operators take: every object, strictly, against its schema."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject, TriggerAuthentication
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor

from tests.deploy import helm_engine
from tests.deploy.rendering import (
    CHART,
    EVERYTHING,
    GIVEN,
    ROOT,
    Object,
    objects,
    of_kind,
    render,
    rendered,
    schema_writer,
)

CUSTOM: dict[str, Any] = {
    "ScaledObject": ScaledObject,
    "TriggerAuthentication": TriggerAuthentication,
    "ServiceMonitor": ServiceMonitor,
}
"""Models made from the operators' own definitions (KEDA 2.16, Prometheus operator 0.80)."""
WITHOUT_SCHEMA = {"HTTPRoute"}
KINDS = {
    "Deployment", "HorizontalPodAutoscaler", "Ingress", "Job", "NetworkPolicy", "Pod", "PodDisruptionBudget", "Service",
    "ServiceAccount",
}  # fmt: skip
"""What the chart makes of Kubernetes' own kinds, and ConfigMaps where there are dashboards."""


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.37"])
def test_kubernetes_takes_every_object(version: str) -> None:
    different = {json.dumps(one, sort_keys=True): one for name in GIVEN for one in rendered(name)}
    found = [one for one in different.values() if one["kind"] not in {*CUSTOM, *WITHOUT_SCHEMA}]
    assert {one["kind"] for one in found} >= KINDS
    for one in found:
        kubernetes_validate.validate(one, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_noticed() -> None:
    deployment = of_kind(objects(GIVEN["default"]), "Deployment")[0]
    deployment["spec"]["template"]["spec"]["runAsNonRoot"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, "1.34", strict=True)


def in_definition(one: Object) -> Object:
    """What an operator's own definition keeps of an object: a field that it does not know is gone."""
    model = CUSTOM[one["kind"]].model_validate(one)
    kept: Object = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return kept


def test_the_operators_know_every_field_of_their_objects() -> None:
    found = of_kind(objects(EVERYTHING), *CUSTOM)
    assert {one["kind"] for one in found} == set(CUSTOM)
    for one in found:
        assert in_definition(one) == one
    one = found[0]
    one["spec"]["misspelt"] = 1
    assert in_definition(one) != one


def test_helm_finds_nothing_to_complain_about() -> None:
    for name, given in GIVEN.items():
        errors = [message for message in helm_engine.lint(CHART, given) if message["severity"] == "ERROR"]
        assert [one for one in errors if "missing these dependencies" not in str(one)] == [], name


def test_a_package_of_the_chart_renders_the_same(tmp_path: Path) -> None:
    archive = helm_engine.save(CHART, tmp_path)
    assert render(EVERYTHING, chart=archive) == render(EVERYTHING)


def test_the_schema_is_up_to_date_with_the_settings() -> None:
    writer = schema_writer()
    assert writer.SCHEMA.read_text(encoding="utf-8") == writer.text(), (
        "run: PYTHONPATH=libs:. python deploy/helm/write_schema.py"
    )


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with both dependencies in place. The published ones cannot be fetched here: charts of their names and
    versions, as Helm makes new ones, stand for them."""
    folder = tmp_path_factory.mktemp("complete") / "tidemill"
    shutil.copytree(CHART, folder)
    declared = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["dependencies"]
    for dependency in declared:
        (folder / "charts").mkdir(exist_ok=True)
        helm_engine.create(dependency["name"], folder / "charts")
        about = folder / "charts" / dependency["name"] / "Chart.yaml"
        about.write_text(about.read_text().replace("version: 0.1.0", f"version: {dependency['version']}"))
    return folder


@pytest.mark.parametrize(
    ("given", "beside"),
    [(GIVEN["default"], {"nats", "postgres"}), (GIVEN["minimal"], {"nats"}), (GIVEN["large"], {"nats"})],
    ids=["default", "minimal", "large"],
)
def test_the_charts_beside_this_one_are_switched_by_their_conditions(
    complete: Path, given: Object, beside: set[str]
) -> None:
    found = render(given, chart=complete)
    assert {path.split("/")[2] for path in found if path.startswith("tidemill/charts/")} == beside


def test_the_complete_chart_is_packaged_with_all_it_needs(complete: Path, tmp_path: Path) -> None:
    archive = helm_engine.package(complete, tmp_path)
    with tarfile.open(archive) as packed:
        names = set(packed.getnames())
    assert {"tidemill/values.schema.json", "tidemill/values-minimal.yaml", "tidemill/values-large.yaml"} <= names
    assert {"tidemill/charts/nats/Chart.yaml", "tidemill/charts/postgres/Chart.yaml"} <= names
    dashboards = {path.name for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")}
    assert {
        name.rpartition("/")[2] for name in names if "/files/dashboards/" in name and name.endswith(".json")
    } == dashboards


def test_dashboards_become_config_maps_that_grafana_finds(tmp_path: Path) -> None:
    folder = tmp_path / "tidemill"
    shutil.copytree(CHART, folder)  # follows the link, as Helm does
    (folder / "files" / "dashboards" / "probe.json").write_text('{"title": "{{ not a template }}"}')
    found = of_kind(objects(GIVEN["large"], chart=folder), "ConfigMap")
    (probe,) = [one for one in found if "probe.json" in one["data"]]
    assert probe["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(probe["data"]["probe.json"]) == {"title": "{{ not a template }}"}
    assert of_kind(objects(GIVEN["default"], chart=folder), "ConfigMap") == []
