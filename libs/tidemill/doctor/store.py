"""The store and the records in it: can be reached and written, decide races, can be read; dead letters."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tidemill.artifacts.buckets import is_versioned
from tidemill.artifacts.objects import open_objects
from tidemill.doctor.findings import Finding, failed, ok, warning
from tidemill.doctor.site import Site, at_gateway_of, of_project
from tidemill.errors import CorruptArtifact, PermanentError, TidemillError, TransientError
from tidemill.records.schema import DeadLetterRecord

SLOW_SECONDS = 2.0
SAMPLE = 20
"""Runs whose records are read."""
MOST_LETTERS = 100
"""Dead letters that are read of one project."""


async def look_at_store(site: Site) -> list[Finding]:
    """Reachable, writable, and of two create-only writes one wins."""
    url = site.store()
    began = time.perf_counter()
    try:
        await open_objects(url).check()
    except TransientError as error:
        return [failed(str(error), "make room, or see that the store's server runs and is reached from here")]
    except PermanentError as error:
        return [failed(str(error), "see the sentence; `tidemill store prepare` makes a bucket fit")]
    took = time.perf_counter() - began
    found = [ok(f"{url} takes writes and lets one writer win ({took * 1000:.0f} ms for two writes and a removal)")]
    if took > SLOW_SECONDS:
        found = [warning(f"{url} is slow: {took:.1f} s for two small writes", "look at its disk, server and network")]
    try:
        versioned = await is_versioned(url)
    except TidemillError as error:
        return [
            *found,
            warning(f"whether deleted objects are kept cannot be seen: {error}", "allow s3:GetBucketVersioning"),
        ]
    if versioned is False:
        found.append(warning(f"{url} keeps no versions: what is deleted is gone", "run `tidemill store prepare`"))
    return found


async def look_at_records(site: Site) -> list[Finding]:
    """The records of the runs with the last ids of each project can be read."""
    records = site.records()
    runs, damaged = 0, list[Finding]()
    for project in await records.projects():
        for run_id in (await records.run_ids(project))[-SAMPLE:]:
            runs += 1
            try:
                await records.run(project, run_id)
                await records.stages(project, run_id)
                await records.outcomes(project, run_id)
            except CorruptArtifact as error:
                damaged.append(failed(f"run {run_id}: {error}", "restore the record from a copy of the bucket"))
    return damaged or [ok(f"the records of {runs} runs were read")]


async def look_at_decisions(site: Site) -> list[Finding]:
    """Every project's chain of decisions is unbroken."""
    records = site.records()
    decisions, broken = 0, list[Finding]()
    for project in await records.projects():
        try:
            decisions += len(await records.decisions(project))
        except CorruptArtifact as error:
            broken.append(
                failed(str(error), "restore the record from a copy of the bucket; until then nothing is promoted")
            )
    return broken or [ok(f"the chain of {decisions} decisions is unbroken")]


async def look_at_dead_letters(site: Site) -> list[Finding]:
    """How many wait to be replayed, and the last one of each project."""
    records = site.records()
    found = list[Finding]()
    for project in await records.projects():
        letters = await records.letters.newest(project, limit=MOST_LETTERS)
        if letters:
            found.append(_dead(project, letters, site.data_dir_option))
    return found or [ok("none")]


def _dead(project: str, letters: Sequence[DeadLetterRecord], option: str) -> Finding:
    last = letters[0]
    count = f"{len(letters)} messages" + (" or more" if len(letters) == MOST_LETTERS else "")
    advice = f"`tidemill dead list{option}`; when the cause is mended, `tidemill dead replay {last.id}{option}`"
    return warning(
        f"{count}{of_project(project)} could not be handled; the last ({last.id}) by {last.stage}: {last.error[:200]}",
        f"{advice}{at_gateway_of(project)}",
    )
