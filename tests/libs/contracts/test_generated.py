"""The generated contracts in ``proto/`` say what the code says; ``make contracts`` writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.inference import openapi
from tidemill.cli.contracts import documents
from tidemill.contracts import EVENTS

PROTO = Path(__file__).parents[3] / "proto"


@pytest.mark.parametrize("name", sorted(documents()))
def test_what_is_committed_is_what_the_code_says(name: str) -> None:
    committed = (PROTO / name).read_text(encoding="utf-8")
    assert committed == documents()[name], "it is stale; run `make contracts` and commit the result"


def test_the_committed_openapi_document_is_what_the_gateway_says() -> None:
    committed = json.loads((PROTO / "openapi.json").read_text(encoding="utf-8"))
    assert committed == json.loads(json.dumps(openapi.document())), "it is stale; run `make contracts` and commit it"


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = json.loads(documents()["asyncapi.json"])
    assert {channel["address"] for channel in document["channels"].values()} == set(EVENTS)

    def references(value: object) -> list[str]:
        if isinstance(value, list):
            return [one for item in value for one in references(item)]
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [one for item in value.values() for one in references(item)]
        return []

    for reference in references(document):
        place = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_a_client_that_publishes_by_hand_needs_no_run_id() -> None:
    document = json.loads(documents()["asyncapi.json"])
    assert document["components"]["schemas"]["DatasetPublished"]["required"] == ["name"]
