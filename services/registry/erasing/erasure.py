"""One erasure, step by step. Every step may be done again: a crash in the middle goes on from what is written down.

    search      records and files; what holds the value, and what was made from that
    stop        cancel the runs that use it, wait for their jobs
    rewrite     the last versions of datasets without the rows, into the store
    bury        tombstones, word to all services; the runs of the rewritten datasets go on record, which keeps these
    remove      manifests, objects, their old versions; the runs' datasets are deleted on record
    again       from the search on, until nothing new is found: what jobs in hand left behind
    publish     the rewritten datasets
    overwrite   records and messages
    report      then the request goes, and with it the value

Knows the order of things; each thing itself is in the other modules.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta

from services.registry import chain as decided
from services.registry.erasing.models import trained_on
from services.registry.erasing.notes import note_records, note_what_stays, unsearched
from services.registry.erasing.overwriting import cleaned_records, overwrite, remove_messages, still_held
from services.registry.erasing.removal import Removal
from services.registry.erasing.rewriting import Rewriter
from services.registry.erasing.runs import AffectedRuns
from services.registry.erasing.search import Search, SearchedArtifact
from services.registry.erasing.state import ErasureState
from services.registry.erasing.survey import Survey, survey
from tidemill.artifacts.manifest import MANIFESTS
from tidemill.artifacts.objects import Objects
from tidemill.bus import Bus
from tidemill.contracts.erasures import ErasedArtifact, ErasureReport
from tidemill.erasure.requests import ErasureProgress, ErasureRequest, PendingErasures
from tidemill.erasure.subject import Matcher
from tidemill.garbage.inventory import take_inventory
from tidemill.progress import silent
from tidemill.records import RecordStore

log = logging.getLogger(__name__)

MOST_ROUNDS = 10
YOUNG = timedelta(hours=1)
"""Age below which an artifact that nothing refers to may be another project's, on its way in."""


class Erasure:
    """Carries out one request."""

    def __init__(
        self, request: ErasureRequest, matcher: Matcher, *, bus: Bus, objects: Objects, records: RecordStore,
        pending: PendingErasures, search: Search, rewriter: Rewriter, runs: AffectedRuns,
        buried: Callable[[], Awaitable[None]], changed: Callable[[Collection[str]], Awaitable[None]], settle: timedelta,
    ) -> None:  # fmt: skip
        self._request = request
        self._matcher = matcher
        self._bus = bus
        self._objects = objects
        self._records = records
        self._pending = pending
        self._search = search
        self._rewriter = rewriter
        self._runs = runs
        self._buried = buried
        self._changed = changed
        self._settle = settle
        self._removal = Removal(objects, request.id)
        self._state = ErasureState()

    async def run(self) -> ErasureReport:
        """Do all of it, and return what was done. The report is on record then, and the request is gone.

        Raises:
            HandedBack: the service is leaving; another one goes on.
            TransientError: something is out of reach; doing it again goes on.
        """
        self._state = await self._pending.state(self._request, ErasureState) or ErasureState()
        await self._search.resume()
        rounds = 1
        while await self._round() and not self._request.dry_run:
            if rounds == MOST_ROUNDS:
                self._state.note("what holds the value keeps coming; see who publishes it, and erase again")
                break
            await self._told("waiting for jobs in hand")
            await asyncio.sleep(self._settle.total_seconds())
            rounds += 1
        if not self._request.dry_run:
            await self._publish()
            await self._overwrite()
            await self._told("removing old versions")
            await self._removal.complete()
        return await self._report()

    async def _round(self) -> bool:
        """Search, and remove what is found; False when there was nothing."""
        request, state = self._request, self._state
        await self._told("reading records")
        seen = await survey(self._objects, self._records, request.project, self._matcher)
        artifacts = {one.ref.digest: one for one in await self._search.through(await self._candidates(seen))}
        self._count(seen, artifacts)
        if request.dry_run:
            state.records = len(seen.held)
        held = {digest for digest, one in artifacts.items() if one.held}
        affected = held | (seen.lineage.made_from(held) & artifacts.keys())
        gone = {digest for digest in affected if artifacts[digest].ref.kind != "model" and digest not in seen.elsewhere}
        new = gone | {digest for digest in affected if digest not in state.artifacts}
        for digest in sorted(new):
            fate = "removed" if digest in gone else "kept-shared" if digest in seen.elsewhere else "kept-model"
            one = artifacts[digest]
            state.artifacts[digest] = ErasedArtifact(
                digest=digest, kind=one.ref.kind, fate=fate, held=bool(one.held), files=len(one.held), rows=one.rows
            )
        taken = {one.digest for one in state.artifacts.values()} | affected
        for model in await trained_on(self._records, request.project, taken, held):
            state.models[f"{model.name} {model.version}"] = model
        state.unsearched = unsearched(artifacts, affected)
        loose = await self._search.loose(await self._unowned())
        for key in loose:
            digest = f"sha256:{key.rpartition('/')[2].removesuffix('.json')}"
            state.artifacts[digest] = ErasedArtifact(
                digest=digest, kind="object of no artifact", fate="removed", held=True, files=1
            )
        if loose and not request.dry_run:
            await self._removal.remove_loose(loose)
        if gone:
            await self._take_out(seen, {digest: artifacts[digest] for digest in gone}, affected)
        return bool(gone or loose)

    async def _take_out(self, seen: Survey, gone: dict[str, SearchedArtifact], affected: Collection[str]) -> None:
        request, state = self._request, self._state
        runs = seen.lineage.runs_with(gone)
        if not request.dry_run:
            await self._told("ending runs")
            cancelled, going_on = await self._runs.cancel(request.project, runs, request.id)
            state.runs_cancelled |= cancelled
            for run_id in sorted(going_on):
                state.note(f"run {run_id} did not end; see `tidemill runs show {run_id}`, and erase again when it has")
        deleted = decided.deleted_runs(await self._records.decisions(request.project)) - state.runs_deleted
        for version, ingested in await self._rewriter.newest(affected, deleted):
            known = state.rewritings.get(version.name)
            if known is None or known.told.version < version.version:
                await self._told(f"rewriting {version.name}")
                state.rewritings[version.name] = await self._rewriter.rewrite(version, ingested)
                await self._keep()
        if request.dry_run:
            return
        await self._told("removing artifacts")
        await self._keep()
        await self._removal.bury(gone)
        for name, rewriting in state.rewritings.items():
            state.rewritings[name] = await self._rewriter.begin(rewriting)
        await self._keep()
        await self._buried()
        shared = await self._removal.remove(gone)
        if shared:
            state.note(f"{len(shared)} objects with the value stay, since artifacts that were kept have the same files")
        state.runs_deleted |= await self._runs.close(request.project, runs, request.id)
        await self._keep()

    async def _candidates(self, seen: Survey) -> list[str]:
        """What the project refers to, and what nobody does."""
        others, now = set(seen.elsewhere), datetime.now(UTC)
        alone = await self._alone()
        found = []
        async for one in self._objects.entries(MANIFESTS):
            digest = f"sha256:{one.key.rpartition('/')[2].removesuffix('.json')}"
            own = digest in seen.lineage.kinds
            if own or (digest not in others and (alone or now - one.modified >= YOUNG)):
                found.append(digest)
        return sorted(found)

    async def _unowned(self) -> list[str]:
        """Objects of no artifact: of puts that died, and what was damaged and put aside."""
        inventory = await take_inventory(self._objects, silent)
        alone, now = await self._alone(), datetime.now(UTC)
        named = frozenset().union(*inventory.named.values())
        found = [
            one.key
            for sha256, one in inventory.shards.items()
            if sha256 not in named and (alone or now - one.modified >= YOUNG)
        ]
        return found + [one.key for one in inventory.quarantined]

    async def _alone(self) -> bool:
        """Whether there is no other project."""
        return (await self._records.projects()) in ([], [self._request.project])

    def _count(self, seen: Survey, artifacts: dict[str, SearchedArtifact]) -> None:
        state = self._state
        state.searched_artifacts = max(state.searched_artifacts, len(artifacts))
        state.searched_files = max(state.searched_files, sum(len(one.manifest.files) for one in artifacts.values()))
        state.searched_bytes = max(state.searched_bytes, self._search.bytes)
        state.searched_records = max(state.searched_records, seen.records)

    async def _publish(self) -> None:
        for rewriting in self._state.rewritings.values():
            await self._rewriter.publish(rewriting)

    async def _overwrite(self) -> None:
        request, state = self._request, self._state
        await self._told("cleaning records and messages")
        seen = await survey(self._objects, self._records, request.project, self._matcher)
        cleaned = await cleaned_records(self._objects, seen.held, self._matcher)
        if cleaned:
            await self._removal.bury({}, records=cleaned)
            state.records += len(cleaned)
            state.runs_changed |= {key.split("/")[3] for key in cleaned if key.split("/")[2] in ("runs", "attempts")}
            await self._keep()
            await overwrite(self._objects, cleaned)
        for stream, number in (await remove_messages(self._bus.jetstream, request.project, self._matcher)).items():
            state.messages[stream] = state.messages.get(stream, 0) + number
        await self._changed(state.runs_changed)
        await self._buried()
        note_records(state, seen, names=len(still_held(cleaned, self._matcher)))

    async def _report(self) -> ErasureReport:
        request, state = self._request, self._state
        note_what_stays(state, self._removal.refused)
        report = state.report(request, self._matcher.kind, datetime.now(UTC))
        await self._records.create_erasure(report)
        for sentence in await self._pending.remove(request):
            log.error("erasure %s: an old version of its request stays: %s", request.id, sentence)
        log.info(
            "erasure %s of project %s is done: %d artifacts, %d records, %d messages", request.id, request.project,
            len(report.artifacts), report.records, sum(report.messages.values()),
        )  # fmt: skip
        return await self._records.erasure(request.project, request.id) or report

    async def _keep(self) -> None:
        if not self._request.dry_run:
            await self._pending.keep_state(self._request, self._state)

    async def _told(self, step: str, done: int = 0, total: int = 0) -> None:
        await self._pending.tell(self._request, ErasureProgress(step=step, done=done, total=total))
