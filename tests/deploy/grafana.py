"""What Grafana is provisioned with, read: dashboards, alert rules, and every expression that Prometheus is asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from tidemill.telemetry.measures import Measure

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
SOURCES = {"prometheus", "loki", "tempo"}
"""Uids of the data sources in ``grafana/otel-lgtm``."""
OF_THE_RESOURCE = {"instance", "job"}


def dashboard(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((GRAFANA / "provisioning" / "alerting" / "tidemill.yaml").read_text(encoding="utf-8"))
    assert document["apiVersion"] == 1
    return [rule for group in document["groups"] for rule in group["rules"]]


def queries() -> Iterator[tuple[str, str]]:
    """Every expression that Prometheus is asked, with where it stands."""
    for path in DASHBOARDS:
        found = dashboard(path)
        for panel in found["panels"]:
            for target in panel["targets"]:
                if panel["datasource"]["uid"] == "prometheus":
                    yield f"{path.stem}: {panel['title']} {target['refId']}", target["expr"]
        for variable in found["templating"]["list"]:
            asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"])
            assert asked, variable["definition"]
            yield f"{path.stem}: variable {variable['name']}", f"sum by ({asked[2]}) ({asked[1]})"
    for rule in rules():
        yield f"alert {rule['title']}", rule["data"][0]["model"]["expr"]


def parsed(expression: str) -> Any:
    """The expression as Prometheus reads it, once Grafana has filled in its own variables."""
    for name, value in (("$__rate_interval", "1m"), ("$__range", "6h"), ("$__interval", "15s")):
        expression = expression.replace(name, value)
    return promql_parser.parse(expression)


def nodes(tree: Any) -> list[Any]:
    """Every part of an expression."""
    found: list[Any] = []
    promql_parser.walk(tree, found.append)
    return found


def selectors(tree: Any) -> list[Any]:
    """Every selector of series in an expression."""
    found = nodes(tree)
    ranges = [node.vector_selector for node in found if isinstance(node, promql_parser.MatrixSelector)]
    return ranges + [node for node in found if isinstance(node, promql_parser.VectorSelector)]


def grouped_by(tree: Any) -> set[str]:
    """Every label that an expression groups by."""
    sums = [node for node in nodes(tree) if isinstance(node, promql_parser.AggregateExpr)]
    return {label for node in sums if node.modifier is not None for label in node.modifier.labels}


def series(measure: Measure) -> set[str]:
    """The names of the series that Prometheus keeps of a measure."""
    words = re.split(r"[._]", measure.name)
    unit = {"s": "seconds", "By": "bytes"}.get(measure.unit)
    if unit is not None:
        words.append(unit)
    if measure.kind == "counter":
        words.append("total")
    name = "_".join(words)
    return {f"{name}_{suffix}" for suffix in ("bucket", "count", "sum")} if measure.kind == "histogram" else {name}


QUERIES = list(queries())
