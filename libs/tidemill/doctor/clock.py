"""This machine's clock against the NATS server's, the store's and its own past."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from tidemill.artifacts.location import s3_endpoint
from tidemill.artifacts.s3 import tls_context
from tidemill.bus import subjects
from tidemill.bus.streams import bucket_stream
from tidemill.doctor.findings import Finding, failed, ok, warning
from tidemill.doctor.site import NotLooked, Site

WARNING_SECONDS = 2.0
FAILED_SECONDS = 60.0
_ADVICE = "let the machines keep time: `timedatectl set-ntp true`, or start chrony"


async def look(site: Site) -> list[Finding]:
    """Differences of more than two seconds; and whether the clock was set back."""
    site.folder()
    found = [*_set_back(site)]
    for name, ask in (("the NATS server", _nats_skew), ("the store's server", _store_skew)):
        try:
            skew = await ask(site)
        except (NotLooked, ConnectionError):
            continue
        found.append(judged(name, skew))
    return found or [ok("this machine's clock goes forward; there is no other to compare it with")]


def judged(name: str, skew: float) -> Finding:
    """What a difference of ``skew`` seconds means."""
    said = f"the clock of {name} is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    if abs(skew) > FAILED_SECONDS:
        return failed(f"{said}: ages, signatures and the order of records are wrong", _ADVICE)
    if abs(skew) > WARNING_SECONDS:
        return warning(said, _ADVICE)
    return ok(f"the clock of {name} agrees with this machine's to {max(abs(skew), 0.1):.1f} s")


def _set_back(site: Site) -> list[Finding]:
    if site.record is None:
        return []
    moments = [site.record.started_at, *(one.started_at for one in site.record.processes if one.started_at)]
    ahead = max(moments) - datetime.now(UTC)
    if ahead <= timedelta(seconds=WARNING_SECONDS):
        return []
    return [
        failed(
            f"this machine's clock was set back: the platform started {ahead.total_seconds():.0f} s ahead of now",
            _ADVICE,
        )
    ]


async def _nats_skew(site: Site) -> float:
    async with site.bus() as client:
        asked = time.time()
        stream = bucket_stream(subjects.RUNS_BUCKET)
        answer = json.loads((await client.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=5)).data)
        middle = (asked + time.time()) / 2
    if "ts" not in answer:
        raise NotLooked("the NATS server does not say what time it is")
    return _seconds(answer["ts"]) - middle


async def _store_skew(site: Site) -> float:
    if not site.store().startswith("s3://"):
        raise NotLooked("the store is a folder of this machine")
    return await asyncio.to_thread(http_skew, s3_endpoint())


def http_skew(url: str) -> float:
    """Seconds that a server's ``Date`` is ahead of this machine's clock.

    Raises:
        NotLooked: it does not answer, or says no date.
    """
    asked = time.time()
    try:
        head = urllib.request.Request(url, method="HEAD")  # noqa: S310
        with urllib.request.urlopen(head, timeout=5, context=tls_context()) as response:  # noqa: S310
            date = response.headers.get("Date")
    except urllib.error.HTTPError as refused:  # a refusal has a date as well
        date = refused.headers.get("Date")
    except OSError as error:
        raise NotLooked(f"{url} does not answer: {error}") from error
    if not date:
        raise NotLooked(f"{url} says no date")
    # Whole seconds: what is said is half a second old on average.
    return parsedate_to_datetime(date).timestamp() + 0.5 - (asked + time.time()) / 2


def _seconds(text: str) -> float:
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text).replace("Z", "+00:00")).timestamp()
