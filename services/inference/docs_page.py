"""The OpenAPI document as one HTML page: no script, nothing loaded from anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .4rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; } code, pre { font: .85rem/1.5 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .6rem; border: 1px solid var(--line); border-radius: .3rem; }
.method { display: inline-block; min-width: 3.4rem; font-weight: 600; }
.get { color: #2a7ab0; } .post { color: #2e8b57; }
table { border-collapse: collapse; } td { padding: .1rem .8rem .1rem 0; vertical-align: top; }
"""


def render(document: dict[str, Any]) -> str:
    """The page."""
    info = document["info"]
    body = "".join(_body(document))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])} "
        f'The document itself: <a href="/openapi.json">openapi.json</a>.</p>{body}</body></html>'
    )


def _body(document: dict[str, Any]) -> Iterator[str]:
    for tag in document["tags"]:
        yield f"<h2>{escape(tag['name'].capitalize())}</h2>"
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if tag["name"] in operation["tags"]:
                    yield from _operation(method, path, operation)
    yield "<h2>Schemas</h2>"
    for name, schema in document["components"]["schemas"].items():
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        yield f'<details id="{escape(name)}"><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>'


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield (
        f'<details><summary><span class="method {method}">{method.upper()}</span> <code>{escape(path)}</code> '
        f"{escape(operation['summary'])}</summary><table>"
    )
    for parameter in operation.get("parameters", ()):
        kind = parameter["schema"].get("type", "")
        said = parameter.get("description", "")
        name = f"<code>{escape(parameter['name'])}</code>"
        yield f"<tr><td>{name}</td><td>{parameter['in']}, {kind}. {escape(said)}</td></tr>"
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<tr><td>takes</td><td><code>{escape(media)}</code> {_named(content['schema'])}</td></tr>"
    for status, response in operation["responses"].items():
        shown = "; ".join(f"<code>{escape(m)}</code> {_named(c['schema'])}" for m, c in response["content"].items())
        yield f"<tr><td>{status}</td><td>{escape(response['description'])}: {shown}</td></tr>"
    yield "</table></details>"


def _named(schema: dict[str, Any]) -> str:
    if schema.get("type") == "array":
        return f"list of {_named(schema['items'])}"
    reference = schema.get("$ref")
    if reference is None:
        return escape(str(schema.get("type", "")))
    name = escape(reference.rsplit("/", 1)[-1])
    return f'<a href="#{name}">{name}</a>'
