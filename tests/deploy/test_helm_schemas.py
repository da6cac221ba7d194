"""What the chart renders is what Kubernetes and the operators take: every object against its published schema, strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
from cloudcoil.models.keda.v1alpha1 import ScaledObject, TriggerAuthentication
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor

from tests.deploy.rendering import CHART, Object, objects, of_kind, render, schema_writer, values

CUSTOM: dict[str, Any] = {
    "ScaledObject": ScaledObject,
    "TriggerAuthentication": TriggerAuthentication,
    "ServiceMonitor": ServiceMonitor,
}
"""Models made from the operators' own definitions (KEDA 2.16, Prometheus operator 0.80)."""
WITHOUT_SCHEMA = {"HTTPRoute"}

EVERYTHING: Object = values(
    "large",
    inference__httpRoute={"enabled": True, "host": "tidemill.example.com", "parentRefs": [{"name": "public"}]},
    inference__tls={"secret": "tidemill-gateway-tls"},
    store__endpoint="https://s3.example.com",
    store__tls={"caSecret": "tidemill-store-ca"},
    store__credentialsInSecrets=True,
    monitoring__annotations=True,
)
GIVEN = {name: values(name) for name in ("default", "minimal", "large")} | {"everything": EVERYTHING}


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.37"])
def test_kubernetes_takes_every_object(version: str) -> None:
    different = {json.dumps(one, sort_keys=True): one for given in GIVEN.values() for one in objects(given)}
    found = [one for one in different.values() if one["kind"] not in {*CUSTOM, *WITHOUT_SCHEMA}]
    assert len({one["kind"] for one in found}) == 9
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


def test_helm_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    for name, given in GIVEN.items():
        report = helm_python.lint(CHART, values=given)
        errors = [message for message in report["messages"] if message["severity"] == "ERROR"]
        assert [one for one in errors if "missing these dependencies" not in str(one)] == [], name


def test_a_package_of_the_chart_renders_the_same(tmp_path: Path) -> None:
    archive = Path(helm_python.Chart.load(CHART).save(tmp_path))
    packed = helm_python.Chart.load(archive)
    assert render(EVERYTHING, loaded=packed) == render(EVERYTHING)


def test_the_schema_is_up_to_date_with_the_settings() -> None:
    writer = schema_writer()
    assert writer.SCHEMA.read_text(encoding="utf-8") == writer.text(), (
        "run: PYTHONPATH=libs:. python deploy/helm/write_schema.py"
    )
