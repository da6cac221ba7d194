"""The files that Grafana is provisioned with: whole, readable, and about metrics that there are."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tidemill.telemetry.measures import MEASURES, Measure

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


SERIES = {name: measure for measure in MEASURES for name in series(measure)}
QUERIES = list(queries())


@pytest.mark.parametrize(("where", "expression"), QUERIES, ids=[where for where, _ in QUERIES])
def test_every_expression_is_promql_about_metrics_and_labels_that_there_are(where: str, expression: str) -> None:
    tree = parsed(expression)
    asked = selectors(tree)
    assert asked, "it asks for nothing"
    known = OF_THE_RESOURCE | {"le"}
    for selector in asked:
        assert selector.name in SERIES, f"no service exports {selector.name}"
        known |= {key.replace(".", "_") for key in SERIES[selector.name].attributes}
        labels = {matcher.name for matcher in selector.matchers.matchers}
        assert labels <= known, f"{selector.name} has no {labels - known}"
    written = {label for found in re.findall(r"by \(([^)]*)\)", expression) for label in found.split(", ")}
    assert grouped_by(tree) == written, "what groups was not seen"
    assert written <= known


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_says_what_it_shows(path: Path) -> None:
    found = dashboard(path)
    assert found["uid"] == f"tidemill-{path.stem}"
    assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])
    assert len({panel["title"] for panel in found["panels"]}) == len(found["panels"])
    for panel in found["panels"]:
        assert panel["title"].strip()
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] in SOURCES
        assert panel["targets"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {panel["datasource"]["uid"]}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_no_panel_lies_over_another_or_beyond_the_edge(path: Path) -> None:
    places = [(panel["title"], panel["gridPos"]) for panel in dashboard(path)["panels"]]
    for title, place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24, title
    for (one, a), (other, b) in itertools.combinations(places, 2):
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert apart or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"], f"{one} and {other} overlap"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["uid"])
def test_every_alert_can_fire_and_says_what_to_do(rule: dict[str, Any]) -> None:
    query, condition = rule["data"]
    assert rule["condition"] == condition["refId"] == condition["model"]["refId"]
    assert (query["datasourceUid"], condition["datasourceUid"]) == ("prometheus", "__expr__")
    assert (condition["model"]["type"], condition["model"]["expression"]) == ("threshold", query["refId"])
    assert query["model"]["instant"] is True
    ((evaluator,),) = [tuple(one.values()) for one in condition["model"]["conditions"]]
    assert evaluator["type"] == "gt"
    assert len(evaluator["params"]) == 1
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    assert rule["annotations"]["__dashboardUid__"] in {dashboard(path)["uid"] for path in DASHBOARDS}
    shown = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
    assert shown <= grouped_by(parsed(query["model"]["expr"]))


def test_every_measure_is_on_a_dashboard() -> None:
    shown = {selector.name for _, expression in QUERIES for selector in selectors(parsed(expression))}
    assert [measure.name for measure in MEASURES if not series(measure) & shown] == []


def test_the_provider_reads_a_folder_of_the_documentation() -> None:
    document = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "tidemill.yaml").read_text(encoding="utf-8"))
    (provider,) = document["providers"]
    assert provider["type"] == "file"
    docs = (GRAFANA.parents[1] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert provider["options"]["path"] in docs
