"""Mistakes in the chart's values are refused in words before anything is installed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.helm_engine import HelmRefused
from tests.deploy.rendering import objects, of_kind, render, values

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"store": {}}, "store.url is empty: say where everything durable is kept"),
    ({"store__url": "/var/lib/store"}, "store/url"),
    ({"store__urls": "s3://b"}, "'urls' not allowed"),
    ({"trainers": {}}, "'trainers' not allowed"),
    ({"trainer__pools__cpu__replica": 2}, "'replica' not allowed"),
    ({"trainer__pools__cpu__resourceClasses": ["gpus"]}, "resourceClasses"),
    ({"trainer__pools__cpu__settings": {"TIDEMILL_TRAINER_CHEKPOINT_EVERY": "PT1M"}}, "TRAINER_CHEKPOINT_EVERY"),
    ({"trainer__pools__cpu__settings": {"TIDEMILL_TRAINER_THREADS": 4}}, "TIDEMILL_TRAINER_THREADS"),
    ({"inference__settings": {"TIDEMILL_INFERENCE_API_KEY": "secret"}}, "TIDEMILL_INFERENCE_API_KEY"),
    ({"settings": {"TIDEMILL_NATS_PASSWORD": "secret"}}, "TIDEMILL_NATS_PASSWORD"),
    ({"ingest__resources": {"requests": {"memory": "lots"}}}, "memory"),
    ({"bus__url": "nats://own:4222"}, "bus.url names a NATS of your own, and nats.enabled would install another"),
    ({"nats__enabled": False}, "there is no NATS: set bus.url"),
    ({"bus__url": "nats://user:word@own:4222", "nats__enabled": False}, "bus.url holds a password"),
    ({"database__url": "postgresql+psycopg://t@own/t"}, "postgres.enabled would install another"),
    ({"database__url": "postgresql+psycopg://t:word@own/t", "postgres__enabled": False}, "database.url holds a pass"),
    ({"database__url": "mysql://own/t", "postgres__enabled": False}, "database/url"),
    ({"postgres__enabled": False}, "there is no database: set database.url"),
    ({"database__sqlite": True}, "with a PostgreSQL (database.url, postgres.enabled) set it to false"),
    (
        {"database__sqlite": True, "postgres__enabled": False, "registry__replicas": 2},
        "registry.replicas is 2, and database.sqlite is a file in one pod",
    ),
    ({"trainer__pools__cpu__enabled": False}, "no pool of trainers is enabled"),
    ({"trainer__pools__cpu__plans": False}, "no enabled pool of trainers has plans=true"),
    ({"trainer__pools__cpu__resourceClasses": ["cpu", "gpu"]}, "trainer.pools.cpu takes jobs of the class gpu and"),
    ({"compressor__autoscaling": {"min": 3, "max": 2}}, "compressor.autoscaling.max is 2, less than min (3)"),
    ({"trainer__pools__cpu__autoscaling": {"min": 9}}, "trainer.pools.cpu.autoscaling.max is 4, less than min (9)"),
    ({"inference__ingress__enabled": True}, "inference.ingress needs host and tlsSecret"),
    ({"inference__httpRoute__enabled": True}, "inference.httpRoute needs host and parentRefs"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), MISTAKES, ids=[words for _, words in MISTAKES])
def test_a_mistake_is_refused_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(HelmRefused) as refused:
        render(values("default", **changes))
    assert words in str(refused.value)


def test_the_notes_say_the_next_command() -> None:
    notes = render(values("minimal"))["tidemill/templates/NOTES.txt"]
    assert "helm test tidemill --namespace ml" in notes
    assert "tidemill publish" in notes
    assert "kubectl port-forward" in notes
    assert "set autoscaling.enabled=true" in notes
    public = render(values("large"))["tidemill/templates/NOTES.txt"]
    assert "https://tidemill.example.com" in public
    assert "port-forward" not in public


@pytest.mark.parametrize("name", ["default", "minimal", "large"])
def test_what_a_bundled_chart_would_serve_is_not_prepared_by_a_hook_that_waits_for_it(name: str) -> None:
    given = values(name)
    (job,) = of_kind(objects(given), "Job")
    brings_its_own = given.get("nats", {}).get("enabled", True) or given.get("postgres", {}).get("enabled", True)
    assert ("helm.sh/hook" in job["metadata"].get("annotations", {})) is not brings_its_own


def test_with_bus_and_database_elsewhere_everything_is_prepared_before_the_services_start() -> None:
    given = values("large", bus={"url": "tls://nats.example:4222", "streamReplicas": 3}, nats={"enabled": False})
    found = objects(given)
    (job,) = of_kind(found, "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    account = job["spec"]["template"]["spec"]["serviceAccountName"]
    (identity,) = [one for one in of_kind(found, "ServiceAccount") if one["metadata"]["name"] == account]
    weights = [int(one["metadata"]["annotations"]["helm.sh/hook-weight"]) for one in (identity, job)]
    assert weights == sorted(weights)
    assert weights[0] < weights[1]
