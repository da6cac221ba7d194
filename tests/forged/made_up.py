"""What may come over the bus, made up: any bytes, any JSON, and events and commands with something wrong in them."""

from __future__ import annotations

import json
from typing import Any, get_args

from hypothesis import strategies as st
from pydantic import BaseModel

from tidemill.contracts import EVENT_TYPES, Command

DIGEST = "sha256:" + "a" * 64
ARTIFACT = {"digest": DIGEST, "kind": "dataset", "size_bytes": 1}
EVALUATION = {"part": "test", "examples": 1, "metrics": {"accuracy": 0.5}}
FIGURES = {
    "variant": "onnx-int8", "size_bytes": 1, "p50_ms": 1.0, "p95_ms": 1.0, "throughput": 1.0, "threads": 1,
    "metrics": {},
}  # fmt: skip
VALUES: dict[str, Any] = {
    "project": "default", "run_id": "run-1", "name": "评论", "uri": "file:///x.csv", "recipe": ARTIFACT,
    "source": ARTIFACT, "dataset": ARTIFACT, "model": ARTIFACT, "trained": ARTIFACT, "ingested": ARTIFACT,
    "artifact": ARTIFACT, "task": "text-classification", "rows": 1, "parts": {"data": 1}, "labels": ["a"],
    "evaluation": EVALUATION, "validation": EVALUATION, "original": FIGURES, "compressed": FIGURES,
    "variants": [FIGURES], "version": 1, "alias": "champion", "reason": "r", "stage": "train", "error": "e",
    "kind": "permanent", "state": "finished", "prediction_id": "p", "label": "a", "statistic": "psi", "value": 0.5,
    "threshold": 0.1, "severity": "info", "message": "m", "raised_at": "2026-11-30T00:00:00Z",
    "letter": "0123456789abcdef", "erasure": "0123456789abcdef", "key_id": "0123456789abcdef",
    "by": "fedcba9876543210", "digest": "a" * 64, "until": "2026-11-30T00:00:00Z",
    "grant": {"name": "n", "scopes": ["read"]}, "event": {}, "index": 0,
    "fingerprints": ["f"], "spec": {}, "inputs": {},
    "resource_class": "cpu", "started_at": "2026-11-30T00:00:00Z",
}  # fmt: skip
"""A value that is right for the field of that name, wherever it is."""


def right(kind: type[BaseModel], **changes: Any) -> dict[str, Any]:
    """A document that ``kind`` takes."""
    document = {name: VALUES[name] for name, field in kind.model_fields.items() if field.is_required()}
    if "command" in kind.model_fields:
        document["command"] = kind.model_fields["command"].default  # which one it is
    if kind.__name__ == "DatasetPublished":
        document["uri"] = VALUES["uri"]
    return document | changes


COMMANDS: tuple[type[BaseModel], ...] = get_args(get_args(Command)[0])
"""Every command."""

text = st.text(st.characters(), max_size=40)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), text,
    st.sampled_from(["", ".", "..", "../x", "a" * 300, "\0", "x\r\ny", "=zz", "run-1", "default", DIGEST, "9" * 5000]),
)  # fmt: skip
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(text, st.sampled_from(list(VALUES))), inner, max_size=4)
    ),
    max_leaves=12,
)
"""Any JSON document, and some that are none: ``json.dumps`` writes NaN."""


def dumped(document: Any) -> bytes:
    """As any client may write it: with NaN, with lone surrogates."""
    return json.dumps(document).encode()


nested = st.sampled_from([b"[" * 5000, b'{"a":' * 5000, b'{"recipe":' * 300 + b"1" + b"}" * 300])
junk = st.one_of(st.binary(max_size=200), documents.map(dumped), nested)


@st.composite
def altered(draw: st.DrawFn, kind: type[BaseModel]) -> bytes:
    """A document of ``kind`` with up to three fields made wrong, missing or unheard of; a third of them is right."""
    document = right(kind, run_id=draw(st.sampled_from([f"run-{number}" for number in range(6)])))
    for _ in range(draw(st.integers(0, 3))):
        field = draw(st.one_of(st.sampled_from([*kind.model_fields, "colour"]), text))
        if draw(st.booleans()):
            document.pop(field, None)
        else:
            document[field] = draw(documents)
    return dumped(document)


headers = st.one_of(
    st.just({}),
    st.dictionaries(
        st.sampled_from(["ce-type", "ce-id", "CE-Type", "content-type", "traceparent", "Nats-Msg-Id", "x"]),
        st.sampled_from(["", "tidemill.model.trained.v1", "application/cloudevents+json", "00-x-y-01", "\N{SNOWMAN}"]),
        max_size=3,
    ),
)


def bodies(kind: type[BaseModel]) -> st.SearchStrategy[bytes]:
    """What may come where ``kind`` belongs."""
    return st.one_of(altered(kind), altered(kind), junk)


events = st.sampled_from(EVENT_TYPES).flatmap(lambda kind: st.tuples(st.just(kind.subject), bodies(kind), headers))
"""Subject, body and headers."""
commands = st.one_of(*(bodies(kind) for kind in COMMANDS))
