"""The alert rules on series as they come: Prometheus' own `promtool test rules` says when each fires.

Where there is no promtool (Debian: the package ``prometheus``), only that every rule has a case is looked at.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.grafana import rules

PROMTOOL = shutil.which(os.environ.get("PROMTOOL", "promtool"))
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="needs promtool; set PROMTOOL or install prometheus")


@dataclass(frozen=True)
class Case:
    """Series, one value a minute, and the minutes at which an alert fires or does not."""

    alert: str
    series: dict[str, str]
    fires: tuple[int, ...] = ()
    silent: tuple[int, ...] = ()


LETTERS = 'tidemill_dead_letters_total{tidemill_stage="train", tidemill_failure_kind="permanent"}'
PENDING = 'tidemill_queue_pending{messaging_consumer_group_name="train-jobs-cpu", tidemill_stage="train"}'
UNACKED = 'tidemill_queue_unacknowledged{messaging_consumer_group_name="train-jobs-cpu", tidemill_stage="train"}'
AGAIN = 'messaging_client_consumed_messages_total{tidemill_stage="train", tidemill_message_redelivered="true"}'
FAILED = (
    'tidemill_run_ended_total{tidemill_run_state="failed", tidemill_stage="train", tidemill_failure_kind="permanent"}'
)
GOOD = 'tidemill_gateway_requests_total{http_route="/x", http_response_status_code="200"}'
WRONG = 'tidemill_gateway_requests_total{http_route="/x", http_response_status_code="500"}'
REFUSED = 'tidemill_gateway_rejections_total{tidemill_reason="rows"}'
LOADING = 'tidemill_model_load_failures_total{tidemill_model="reviews"}'

CASES = [
    Case("tidemill-dead-letters", {LETTERS: "0x10 1x40"}, fires=(12, 20), silent=(5, 30)),
    Case("tidemill-stuck-queue", {PENDING: "0x4 3x40", UNACKED: "0x50"}, fires=(25,), silent=(4, 10)),
    Case("tidemill-stuck-queue", {PENDING: "3x40", UNACKED: "1x40"}, silent=(20, 39)),
    Case("tidemill-stuck-queue", {PENDING: "0 3 0 3 0 3 0 3 0 3 0 3 0 3 0 3 0 3 0 3", UNACKED: "0x20"}, silent=(19,)),
    Case("tidemill-stuck-queue", {PENDING: "3x40"}, fires=(25,), silent=(4,)),
    Case("tidemill-redeliveries", {AGAIN: "0+10x60"}, fires=(30,), silent=(5,)),
    Case("tidemill-redeliveries", {AGAIN: "0+2x60"}, silent=(59,)),
    Case("tidemill-failing-runs", {FAILED: "0x5 1 2 3x60"}, fires=(12, 30), silent=(5, 60)),
    Case("tidemill-failing-runs", {FAILED: "0x5 1 2x60"}, silent=(12, 30)),
    Case("tidemill-gateway-errors", {GOOD: "0+60x60", WRONG: "0+10x60"}, fires=(15,), silent=(3,)),
    Case("tidemill-gateway-errors", {GOOD: "0+600x60", WRONG: "0+10x60"}, silent=(15, 59)),
    Case("tidemill-gateway-overload", {REFUSED: "0+30x60"}, fires=(15,), silent=(2,)),
    Case("tidemill-gateway-overload", {REFUSED: "0x10 1x50"}, silent=(12, 30)),
    Case("tidemill-model-not-loaded", {LOADING: "_x5 1+2x60"}, fires=(8, 20), silent=(4,)),
    Case("tidemill-silence", {PENDING: "0x10 stale"}, fires=(20,), silent=(5,)),
]


def rule_file(folder: Path) -> Path:
    """The rules as Prometheus has them: expression and threshold in one."""
    alerts: list[dict[str, Any]] = []
    for rule in rules():
        query, condition = rule["data"]
        limit = condition["model"]["conditions"][0]["evaluator"]["params"][0]
        wait = {} if rule["for"] == "0s" else {"for": rule["for"]}
        alerts.append({"alert": rule["uid"], "expr": f"({query['model']['expr']}) > {limit}", **wait})
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "tidemill", "interval": "1m", "rules": alerts}]}))
    return path


@needs_promtool
@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{case.alert}" for n, case in enumerate(CASES)])
def test_an_alert_fires_when_it_should_and_not_before(case: Case, tmp_path: Path) -> None:
    tests = tmp_path / "tests.yaml"
    moments = [(minute, True) for minute in case.fires] + [(minute, False) for minute in case.silent]
    firing = f'count(ALERTS{{alertname="{case.alert}", alertstate="firing"}}) or vector(0)'
    expected = [
        {"eval_time": f"{minute}m", "expr": firing, "exp_samples": [{"labels": "{}", "value": int(fires)}]}
        for minute, fires in moments
    ]
    document = {
        "rule_files": [str(rule_file(tmp_path))], "evaluation_interval": "1m",
        "tests": [{
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
            "promql_expr_test": expected,
        }],
    }  # fmt: skip
    tests.write_text(yaml.safe_dump(document))
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, "test", "rules", tests], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_has_a_case() -> None:
    assert {case.alert for case in CASES if case.fires} == {rule["uid"] for rule in rules()}
