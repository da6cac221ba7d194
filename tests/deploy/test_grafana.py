"""The files that Grafana is provisioned with: whole, readable, and about metrics that there are."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.grafana import (
    DASHBOARDS,
    GRAFANA,
    OF_THE_RESOURCE,
    QUERIES,
    SOURCES,
    dashboard,
    grouped_by,
    parsed,
    rules,
    selectors,
    series,
)
from tidemill.telemetry.measures import MEASURES

SERIES = {name: measure for measure in MEASURES for name in series(measure)}


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
