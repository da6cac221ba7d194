"""The gateway: answers, is ready, reaches the other parts, and serves the champions."""

from __future__ import annotations

import asyncio
from typing import Any

from tidemill.client.address import Address
from tidemill.client.gateway import Gateway
from tidemill.doctor.findings import Finding, failed, ok, warning
from tidemill.doctor.site import NotLooked, Site
from tidemill.errors import InvalidInput, TidemillError
from tidemill.secret_files import secret

_LETTERS = 100
_MODELS = 1000


async def look(site: Site) -> list[Finding]:
    """What the gateway says of itself and of what it sees."""
    if site.gateway_url is None:
        raise NotLooked("no platform runs here, so there is no gateway to ask")
    return await asyncio.to_thread(_look, site.gateway_url, alone=site.data is None)


def _look(url: str, *, alone: bool) -> list[Finding]:
    gateway = Gateway(Address.of(url, None), api_key=secret("TIDEMILL_API_KEY"))
    try:
        gateway.get("/readyz", patience=0.0)
        status = gateway.get("/v1/status", patience=0.0)
        models = (
            gateway.get("/v1/models", params={"limit": _MODELS}, patience=0.0)
            if status["registry"]["reachable"]
            else []
        )
        letters = gateway.get("/v1/dead-letters", params={"limit": _LETTERS}, patience=0.0) if alone else []
        return [*judged(url, status, models), *_of_letters(letters, url)]
    except InvalidInput as error:
        return [failed(f"the gateway at {url} refuses: {error}", "set TIDEMILL_API_KEY to the gateway's key")]
    except TidemillError as error:
        return [failed(f"the gateway at {url} is not ready: {error}", "see `tidemill status` and the gateway's log")]
    finally:
        gateway.close()


def _of_letters(letters: list[dict[str, Any]], url: str) -> list[Finding]:
    if not letters:
        return []
    count = f"{len(letters)}{' or more' if len(letters) == _LETTERS else ''}"
    advice = f"`tidemill dead list --url {url}`; when the cause is mended, `tidemill dead replay ID --url {url}`"
    return [warning(f"{count} messages could not be handled; the last: {letters[0]['error'][:200]}", advice)]


def judged(url: str, status: dict[str, Any], models: list[dict[str, Any]]) -> list[Finding]:
    """What ``/v1/status`` and ``/v1/models`` mean together."""
    found: list[Finding] = []
    if not status["bus"]["connected"]:
        found.append(failed("the gateway has no connection to NATS", "see that NATS runs: `tidemill status`"))
    for part in ("registry", "store"):
        if not status[part]["reachable"]:
            why = status[part].get("error") or "no answer"
            found.append(failed(f"the gateway cannot reach the {part}: {why}", f"see that the {part} is up"))
    deployed = {one["name"]: one for one in status["models"]}
    for model in deployed.values():
        if model["state"] == "failed":
            found.append(
                failed(f"model {model['name']} does not load: {model.get('error')}", "promote another version")
            )
    for model in models:
        champion, serving = model.get("champion"), deployed.get(model["name"], {"serving": []})["serving"]
        versions = [one["version"] for one in serving]
        if champion is not None and champion not in versions:
            found.append(
                warning(
                    f"version {champion} of {model['name']} is champion, "
                    f"served is {', '.join(map(str, versions)) or 'none'}",
                    f"wait a moment; if it stays, `tidemill models promote {model['name']} {champion}`",
                )
            )
    return found or [ok(f"{url} answers; {len(deployed)} models in service are the champions")]
