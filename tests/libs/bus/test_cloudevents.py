"""What is taken from the wire as an event, and what is refused with which words."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.bus.cloudevents import MalformedEvent, derived_run_id, event_headers, parse_event
from tidemill.contracts import DatasetPublished, RunFailed

PUBLISHED = DatasetPublished.subject


def test_binary_mode_round_trip() -> None:
    event = DatasetPublished(run_id="run-1", name="评论", uri="file:///data/评论.csv")
    headers = event_headers(event, source="gateway", fingerprint="f")
    assert headers["ce-id"] == headers["Nats-Msg-Id"]
    assert headers["ce-type"] == PUBLISHED
    assert parse_event(PUBLISHED, event.model_dump_json().encode(), headers) == event


def test_bare_json_gets_the_run_id_of_its_place_in_the_stream() -> None:
    stored = datetime(2026, 11, 1, tzinfo=UTC)
    body = b'{"name": "reviews", "uri": "/data/reviews.csv"}'
    first = parse_event(PUBLISHED, body, None, run_id=derived_run_id("EVENTS", 7, stored))
    again = parse_event(PUBLISHED, body, None, run_id=derived_run_id("EVENTS", 7, stored))
    assert first == again
    assert first.run_id != derived_run_id("EVENTS", 8, stored)


def test_structured_cloudevent() -> None:
    document = {
        "specversion": "1.0", "type": PUBLISHED, "source": "/cron", "id": "1",
        "data": {"run_id": "run-2", "name": "reviews", "uri": "s3://bucket/reviews.csv"},
    }  # fmt: skip
    headers = {"Content-Type": "application/cloudevents+json"}
    event = parse_event(PUBLISHED, json.dumps(document).encode(), headers)
    assert isinstance(event, DatasetPublished)
    assert event.uri == "s3://bucket/reviews.csv"


def test_unknown_fields_of_a_newer_version_are_ignored() -> None:
    body = {"run_id": "r", "stage": "train", "error": "e", "kind": "permanent", "colour": "blue"}
    assert isinstance(parse_event(RunFailed.subject, json.dumps(body).encode(), {}), RunFailed)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "must be a JSON object"),
        (b"\xff\xfe", "not JSON"),
        (b'{"uri": "x"}', "field name"),
        (b'{"name": "a"}', "uri or source"),
        (b'{"name": "../etc", "uri": "x"}', "field name"),
        (b'{"specversion": "1.0", "type": "other", "data": {}}', "type"),
        (b'{"specversion": "1.0", "data": 3}', "data must be a JSON object"),
    ],
)
def test_malformed(body: bytes, words: str) -> None:
    with pytest.raises(MalformedEvent, match=words):
        parse_event(PUBLISHED, body, {}, run_id="run-x")


@given(st.binary(max_size=200))
def test_no_bytes_get_past_the_parser_as_anything_but_an_event_or_malformed(body: bytes) -> None:
    try:
        event = parse_event(PUBLISHED, body, {}, run_id="run-x")
    except MalformedEvent:
        return
    assert isinstance(event, DatasetPublished)
