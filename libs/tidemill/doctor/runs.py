"""Runs that nobody works on, jobs that no worker takes, leases whose owners are gone."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import nats.errors
import nats.js.errors

from tidemill.bus import backlog, subjects
from tidemill.bus.streams import bucket_stream
from tidemill.contracts.queries import Answer, ListRuns, RunRow
from tidemill.doctor.bus import age_of_first
from tidemill.doctor.findings import Finding, failed, ok, skipped
from tidemill.doctor.site import Site, at_gateway_of, of_project
from tidemill.platform.processes import ProcessIdentity
from tidemill.records import RecordStore

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

UNTAKEN_SECONDS = 60.0
MOST_RUNS = 200


async def look_at_runs(site: Site) -> list[Finding]:
    """Runs that go on and are silent: no job queued or in hand, no event to take, no stage that ended for long."""
    records = site.records()
    async with site.bus() as client:
        running = await _running(client, sorted({"default", *await records.projects()}))
        if running is None:
            return [skipped("the registry does not answer, so what runs is not known; see `tidemill status`")]
        waiting = await backlog.look(client.jetstream())
        if not waiting.whole:
            return [skipped("NATS does not say what waits; see what is found of NATS")]
        stuck = []
        for project, run in running:
            silent = (datetime.now(UTC) - await _last_heard(records, project, run)).total_seconds()
            busy = waiting.has_job(project, run.run_id) or run.stage in waiting.events
            if not busy and silent > 2 * site.reconcile_after.total_seconds():
                stuck.append((silent, project, run))
    if not stuck:
        return [ok(f"{len(running)} runs go on" if running else "no run goes on")]
    stuck.sort(key=lambda one: -one[0])
    return [_stuck(project, run, silent, site.data_dir_option) for silent, project, run in stuck[:20]]


def _stuck(project: str, run: RunRow, silent: float, option: str) -> Finding:
    called = f"run {run.run_id} ({run.name}){of_project(project)}"
    return failed(
        f"{called} is in {run.stage} for {silent / 60:.0f} minutes and nobody works on it",
        f"see the registry's log; `tidemill runs cancel {run.run_id}{option}`, then "
        f"`tidemill runs retry {run.run_id}{option}`{at_gateway_of(project)}",
    )


async def _running(client: Client, projects: Sequence[str]) -> list[tuple[str, RunRow]] | None:
    """Runs that go on, each with its project; None when the registry does not say."""
    found: list[tuple[str, RunRow]] = []
    for project in projects:
        question = ListRuns(project=project, state="running", limit=MOST_RUNS)
        try:
            reply = await client.request(question.subject, question.model_dump_json().encode(), timeout=5)
        except (nats.errors.Error, asyncio.TimeoutError):
            return None
        answer = Answer.model_validate_json(reply.data)
        if answer.problem:
            return None
        found += [(project, RunRow.model_validate(row)) for row in answer.value]
    return found


async def _last_heard(records: RecordStore, project: str, run: RunRow) -> datetime:
    """When its last stage ended, or it began; as the records say."""
    moments = [run.created_at]
    stages = await records.stages(project, run.run_id)
    moments += [stage.finished_at for stage in stages]
    return max(moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in moments)


async def _queued(js: JetStreamContext) -> dict[str, int]:
    try:
        info = await js.stream_info(subjects.JOBS, subjects_filter="tidemill.job.>")
    except nats.js.errors.NotFoundError:
        return {}
    return dict(info.state.subjects or {})


async def look_at_jobs(site: Site) -> list[Finding]:
    """Jobs of a resource class that no worker has asked for."""
    async with site.bus() as client:
        js = client.jetstream()
        queued = await _queued(js)
        taken = await _taken(js)
        untaken: dict[tuple[str, str], int] = defaultdict(int)
        for subject, count in queued.items():
            _, _, stage, resource_class, *_ = subject.split(".")
            if (stage, resource_class) not in taken:
                untaken[stage, resource_class] += count
        found = []
        for (stage, resource_class), count in untaken.items():
            age = await age_of_first(js, subjects.JOBS, f"tidemill.job.{stage}.{resource_class}.>")
            if age is not None and age > UNTAKEN_SECONDS:
                found.append(_untaken(stage, resource_class, count, age))
    return found or [ok(f"{sum(queued.values())} jobs are queued or in hand")]


def _untaken(stage: str, resource_class: str, count: int, age: float) -> Finding:
    if resource_class == "cpu":
        advice = f"see that a worker of {stage} runs: `tidemill status`"
    else:
        advice = (
            f"start a worker of {stage} for it on a machine that has one (for training: "
            f"""TIDEMILL_TRAINER_RESOURCE_CLASSES='["cpu","{resource_class}"]'), or cancel the runs"""
        )
    return failed(
        f"{count} jobs of {stage} for {resource_class} wait for {age / 60:.0f} minutes: no worker takes that class",
        advice,
    )


async def _taken(js: JetStreamContext) -> set[tuple[str, str]]:
    """Stages and resource classes for which somebody asks or works, for whatever project."""
    try:
        infos = await js.consumers_info(subjects.JOBS)
    except nats.js.errors.NotFoundError:
        return set()
    found = set[tuple[str, str]]()
    for info in infos:
        if info.config is not None and (info.num_waiting or info.num_ack_pending):
            for subject in info.config.filter_subjects or [info.config.filter_subject or ""]:
                parts = subject.split(".")
                if len(parts) > 4:
                    found.add((parts[2], parts[3]))
    return found


async def look_at_leases(site: Site) -> list[Finding]:
    """Who holds leases; those of processes of this machine that are gone end by themselves."""
    async with site.bus() as client:
        owners = await _owners(client.jetstream())
    here = socket.gethostname()
    gone = [owner for owner in owners if _lives(owner, here) is False]
    if gone:
        seconds = site.silence.total_seconds()
        return [
            ok(f"{len(owners)} leases; of processes that are gone: {', '.join(gone)} (they end within {seconds:.0f} s)")
        ]
    return [ok(f"{len(owners)} leases" + (f": {', '.join(sorted(set(owners)))}" if owners else ""))]


async def _owners(js: JetStreamContext) -> list[str]:
    stream = bucket_stream(subjects.LEASES_BUCKET)
    try:
        held = await js.stream_info(stream, subjects_filter=">")
    except nats.js.errors.NotFoundError:
        return []
    owners = []
    for key in held.state.subjects or {}:
        try:
            message = await js.get_msg(stream, subject=key)
        except nats.js.errors.NotFoundError:
            continue
        owner = (message.data or b"").decode(errors="replace").partition(" ")[0]
        if owner:
            owners.append(owner)
    return owners


def _lives(owner: str, here: str) -> bool | None:
    """Whether the owner's process lives; None when it is of another machine."""
    host, _, pid = owner.partition("@")[2].rpartition("-")
    if host != here or not pid.isdigit():
        return None
    return ProcessIdentity.of(int(pid)) is not None
