"""The wire for people who never read Python: an AsyncAPI 3.0 document made from the events, and the recipe's schema.

Source: AsyncAPI 3.0.0. Knows the contracts alone, so what it says cannot differ from what the services read.
"""

from __future__ import annotations

import inspect
from typing import Any

from pydantic.json_schema import models_json_schema

from tidemill.contracts.events import EVENTS, DatasetPublished, Event, FeedbackReceived, RunProgressed
from tidemill.contracts.recipe import Recipe

_SCHEMAS = "#/components/schemas/{model}"

_TAKEN: tuple[type[Event], ...] = (DatasetPublished, FeedbackReceived)
"""What clients publish; the platform announces the others."""

_HEADERS = {
    "type": "object",
    "description": (
        "CloudEvents 1.0, binary mode. All of them may be absent when a person publishes by hand; a structured "
        "CloudEvent (application/cloudevents+json) is taken as well."
    ),
    "properties": {
        "ce-specversion": {"const": "1.0"},
        "ce-id": {"type": "string", "description": "The same fact of the same run always has the same id."},
        "ce-type": {"type": "string", "description": "The subject."},
        "ce-source": {"type": "string", "description": "/tidemill/<service>"},
        "ce-time": {"type": "string", "format": "date-time"},
        "Nats-Msg-Id": {"type": "string", "description": "Equal to ce-id: JetStream keeps a repeated message once."},
        "traceparent": {"type": "string", "description": "W3C Trace Context of the run."},
    },
}


def asyncapi_document() -> dict[str, Any]:
    """All events: their subjects, messages and schemas."""
    kinds = list(EVENTS.values())
    _, definitions = models_json_schema([(kind, "validation") for kind in kinds], ref_template=_SCHEMAS)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tidemill events",
            "version": "1",
            "description": (
                "Facts that the services of a Tidemill platform announce to each other over NATS. Consumers ignore "
                "fields that they do not know. Publish tidemill.dataset.published.v1 to start a run; run_id may be "
                "absent there and then derives from the message's place in the stream."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "nats": {
                "host": "127.0.0.1:4222",
                "protocol": "nats",
                "description": "`tidemill env` prints the address and account of a local platform.",
                "security": [{"$ref": "#/components/securitySchemes/account"}],
            }
        },
        "channels": {kind.__name__: _channel(kind) for kind in kinds},
        "operations": {
            f"{'take' if kind in _TAKEN else 'announce'}{kind.__name__}": _operation(kind) for kind in kinds
        },
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in kinds},
            "schemas": _as_read(definitions["$defs"]),
            "securitySchemes": {
                "account": {
                    "type": "asymmetricEncryption",
                    "description": "An nkey: `tidemill nats accounts` makes one for each user of a server.",
                }
            },
        },
    }


def recipe_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the recipe, for editors."""
    schema = Recipe.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://tidemill.dev/recipe.schema.json",
        **schema,
        "title": "Tidemill recipe",
    }


def _channel(kind: type[Event]) -> dict[str, Any]:
    stored = "Core NATS; not stored." if kind is RunProgressed else "Stored by JetStream."
    return {
        "address": kind.subject,
        "description": stored,
        "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"}},
    }


def _operation(kind: type[Event]) -> dict[str, Any]:
    return {
        "action": "receive" if kind in _TAKEN else "send",
        "channel": {"$ref": f"#/channels/{kind.__name__}"},
        "summary": _summary(kind),
    }


def _verb(kind: type[Event]) -> str:
    return "take" if kind in _TAKEN else "announce"


def _message(kind: type[Event]) -> dict[str, Any]:
    return {
        "name": kind.__name__,
        "summary": _summary(kind),
        "contentType": "application/json",
        "headers": _HEADERS,
        "payload": {"$ref": _SCHEMAS.format(model=kind.__name__)},
    }


def _summary(kind: type[Event]) -> str:
    return inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].replace("\n", " ")


def _as_read(schemas: dict[str, Any]) -> dict[str, Any]:
    """A bare publish needs no run_id: the consumer makes one."""
    published = schemas[DatasetPublished.__name__]
    published["required"] = [field for field in published["required"] if field != "run_id"]
    return schemas
