"""What people ask for: cancel, retry, promote, revoke, delete, replay, API keys. Every command may come twice and does
its work once; how it went is in the audit log before anybody is told, also when it was refused.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Literal

from services.registry import chain as decided
from services.registry.access import Access
from services.registry.audited import subject_of
from services.registry.chain import CHAMPION, Chain
from services.registry.dead_letters import DeadLetters
from services.registry.deletion import Deletion
from services.registry.facts import RunFacts, read_facts, stage_event
from services.registry.projection import Projection
from services.registry.registration import Registrar
from services.registry.revocation import Revocation, revoked_words
from services.registry.serving import Serving
from services.registry.signing import Signer, SigningOnRecord
from tidemill.audit import put_on_record
from tidemill.bus import Bus, RunStatus
from tidemill.contracts import (
    Budget,
    CancelRun,
    Command,
    DatasetPublished,
    DeleteDataset,
    DeleteModel,
    IssueKey,
    ModelPromoted,
    PromoteVersion,
    ReplayDeadLetter,
    RetryRun,
    RevokeKey,
    RevokeVersion,
    RotateKey,
    SignVersions,
)
from tidemill.errors import InvalidInput, NotFound, PermanentError
from tidemill.records import RecordStore
from tidemill.records.schema import AliasMoved, EpochRecord, OutcomeRecord, VersionRegistered
from tidemill.stage.runs import Runs
from tidemill.telemetry import span

log = logging.getLogger(__name__)


class Commands:
    """Carries out the commands of the stream ``JOBS``."""

    def __init__(
        self,
        *,
        bus: Bus,
        records: RecordStore,
        runs: Runs,
        registrar: Registrar,
        projection: Projection,
        serving: Serving,
        dead_letters: DeadLetters,
        signer: Signer,
        access: Access,
    ) -> None:
        self._bus = bus
        self._records = records
        self._runs = runs
        self._registrar = registrar
        self._projection = projection
        self._serving = serving
        self._dead_letters = dead_letters
        self._deletion = Deletion(records, projection, serving)
        self._revocation = Revocation(bus, records, projection, serving)
        self._signing = SigningOnRecord(records, projection, serving, signer)
        self._access = access

    async def carry_out(self, command: Command, identity: str, commanded_at: datetime | None = None) -> None:
        """Do what ``command`` says, and put it on record; ``identity`` is the same for every delivery of it.

        ``commanded_at`` is when it was stored, or now.

        Raises:
            NotFound, InvalidInput: it names what is not there, or what cannot be done now.
            TransientError: something is out of reach.
        """
        stored_at = commanded_at or datetime.now(UTC)
        try:
            said = await self._do(command, identity)
        except PermanentError as refused:
            await self.put_on_record(command, identity, stored_at, "refused", str(refused))
            raise
        await self.put_on_record(command, identity, stored_at, "done", said or "")

    async def put_on_record(
        self, command: Command, identity: str, stored_at: datetime | None, outcome: Literal["done", "refused"],
        reason: str,
    ) -> None:  # fmt: skip
        """Write down how a command went, once for all of its deliveries."""
        await put_on_record(
            self._records, command.project, actor=command.actor, action=command.command, subject=subject_of(command),
            outcome=outcome, reason=reason, command=identity,
            commanded_at=stored_at or datetime.now(UTC),
        )  # fmt: skip

    async def _do(self, command: Command, identity: str) -> str | None:
        """What there is to say about it, beyond that it was done."""
        match command:
            case CancelRun():
                return await self.cancel(command, identity)
            case RetryRun():
                await self.retry(command, identity)
            case PromoteVersion():
                await self.promote(command)
                return f"alias {command.alias}"
            case RevokeVersion():
                return await self._revocation.revoke(command, identity)
            case SignVersions():
                return await self._signing.sign(command, identity)
            case DeleteModel():
                await self._deletion.model(command, identity)
            case DeleteDataset():
                await self._deletion.dataset(command, identity)
            case ReplayDeadLetter():
                await self.replay(command, identity)
            case IssueKey():
                await self._access.issue(command)
            case RotateKey():
                await self._access.rotate(command)
            case RevokeKey():
                await self._access.revoke(command)
        return None

    async def cancel(self, command: CancelRun, identity: str) -> str:
        """End a run, and say how it stands then. One that has ended, or is being registered now, stays as it is.

        The KV entry decides between cancel and the commit of a stage, so it is changed first; the outcome record
        decides between cancel and failure. A crash in between is completed by the redelivery, which never cancels an
        epoch that a retry began since.
        """
        facts = await self._facts(command.project, command.run_id)
        cancelled = [one for one in await self._records.outcomes(command.project, command.run_id) if one.command]
        if any(one.command == identity and one.epoch < facts.epoch for one in cancelled):
            log.info("run %s was cancelled by this command before, and retried since", command.run_id)
            return command.reason
        if facts.outcome is None and not await self._stopped(facts, command.reason):
            log.info("run %s is not cancelled: its model is being registered", command.run_id)
            return "the run stays as it is: its model is being registered"
        if facts.outcome is None:
            outcome = OutcomeRecord(
                epoch=facts.epoch, state="cancelled", ended_at=datetime.now(UTC), stage=facts.next_stage,
                reason=command.reason, command=identity,
            )  # fmt: skip
            await self._records.create_outcome(command.project, command.run_id, outcome)
            facts = await self._facts(command.project, command.run_id)
        if facts.outcome is not None:
            log.info("run %s: cancel asked, it is %s", command.run_id, facts.outcome.state)
            await self._registrar.complete(command.project, command.run_id, facts.outcome)
            if facts.outcome.command != identity:
                return f"the run stays as it is: it was {facts.outcome.state} already"
        return command.reason

    async def retry(self, command: RetryRun, identity: str) -> None:
        """Start a run that failed or was cancelled again from the stage where it stopped, with the budget it is given.

        Raises:
            InvalidInput: the run has finished, or its dataset was deleted.
        """
        facts = await self._facts(command.project, command.run_id)
        facts = await self._next_epoch(facts, "retried by a person", identity, command.budget)
        if facts.epoch > 1 and facts.outcome is None:
            await self.announce_reached(facts, announcement=facts.epoch)

    async def promote(self, command: PromoteVersion) -> None:
        """Point an alias to a version, whatever the gates say.

        Raises:
            NotFound: there is no such version.
            InvalidInput: it was revoked.
        """
        found: list[VersionRegistered] = []

        def decide(chain: Chain) -> AliasMoved | None:
            version = decided.numbered(chain, command.name, command.version)
            if version is None:
                raise decided.no_version(chain, command.name, command.version)
            revoked = decided.revocation(chain, command.name, command.version)
            if revoked is not None:
                raise InvalidInput(f"{revoked_words(revoked)}; promote another version")
            found.append(version)
            current = decided.target(chain, command.name, command.alias)
            if current is not None and current.version == command.version:
                return None
            return AliasMoved(
                name=command.name, alias=command.alias, version=command.version,
                previous=current.version if current else None, reason="promoted by a person",
            )  # fmt: skip

        await self._records.append_decision(command.project, decide)
        await self._projection.decisions(command.project)
        if command.alias == CHAMPION:
            await self._serving.deploy(command.project, command.name)
        link = decided.alias(await self._records.decisions(command.project), command.name, command.alias)
        if link is not None and isinstance(link.decision, AliasMoved) and link.decision.version == command.version:
            moved = link.decision
            promoted = ModelPromoted(
                project=command.project, run_id=moved.run_id or found[-1].run_id, name=command.name,
                alias=command.alias, version=moved.version, previous=moved.previous, reason=moved.reason,
            )  # fmt: skip
            await self._bus.announce(promoted, fingerprint=link.digest)

    async def replay(self, command: ReplayDeadLetter, identity: str) -> None:
        """Publish a dead letter's message again; a run that it ended goes on in its next epoch first.

        Raises:
            NotFound: there is no such dead letter, or it was replayed already.
        """
        letter = await self._dead_letters.required(command.project, command.letter)
        if not await self._dead_letters.waits(command.project, letter, identity):
            return
        traceparent = None
        if letter.run_id is not None:
            facts = await read_facts(self._records, command.project, letter.run_id)
            traceparent = facts.record.traceparent if facts is not None else None
            if facts is not None and facts.state != "finished":
                await self._next_epoch(facts, f"dead letter {letter.id} replayed", identity)
            if facts is not None and letter.subject == DatasetPublished.subject:
                # A bare publish names no run: as it came, it would start another one.
                letter = letter.model_copy(update={"body": facts.record.event.model_dump_json().encode()})
        with span("replay", traceparent=traceparent, run_id=letter.run_id, project=command.project):
            await self._dead_letters.replay(command.project, letter, identity)

    async def announce_reached(self, facts: RunFacts, *, announcement: int) -> None:
        """Announce again what a run has reached: its last stage, or that it was published; in the run's own trace."""
        last = facts.last_work()
        event = stage_event(last) if last is not None else None
        with span("announce again", traceparent=facts.record.traceparent, run_id=facts.run_id, project=facts.project):
            if last is not None and event is not None:
                await self._bus.announce(event, fingerprint=last.fingerprint, announcement=announcement)
            else:
                await self._bus.announce(facts.record.event, fingerprint="published", announcement=announcement)

    async def go_on(self, facts: RunFacts) -> None:
        """Let the KV entry of a run follow to the epoch that is on record."""

        def follow(status: RunStatus) -> RunStatus | None:
            if status.epoch >= facts.epoch:
                return None
            return RunStatus(state="running", epoch=facts.epoch, reached=facts.reached)

        await self._runs.status(facts.project, facts.run_id)
        await self._runs.states.change(facts.project, facts.run_id, follow)

    async def _next_epoch(self, facts: RunFacts, reason: str, identity: str, budget: Budget | None = None) -> RunFacts:
        """A run that has ended, going on: on record first, then in the KV entry. One that goes on stays as it is.

        A command that began an epoch before begins no other one, even when that has ended since.
        """
        begun = any(one.command == identity for one in facts.epochs)
        if facts.outcome is not None and not begun:
            if facts.outcome.state == "finished":
                raise InvalidInput(f"run {facts.run_id!r} has finished; publish its dataset again for another run")
            if facts.run_id in decided.deleted_runs(await self._records.decisions(facts.project)):
                raise InvalidInput(f"the dataset of run {facts.run_id!r} was deleted; publish it again")
            epoch = EpochRecord(
                epoch=facts.epoch + 1, started_at=datetime.now(UTC), reason=reason, budget=budget, command=identity
            )
            await self._records.create_epoch(facts.project, facts.run_id, epoch)
            facts = await self._facts(facts.project, facts.run_id)

        await self.go_on(facts)
        await self._projection.run(facts.project, facts.run_id)
        return facts

    async def _stopped(self, facts: RunFacts, reason: str) -> bool:
        def stop(status: RunStatus) -> RunStatus | None:
            if status.state != "running" or "register" in status.reached:
                return None
            return status.model_copy(update={"state": "cancelled", "error": reason})

        await self._runs.status(facts.project, facts.run_id)
        status, _ = await self._runs.states.change(facts.project, facts.run_id, stop)
        return status.state != "running"

    async def _facts(self, project: str, run_id: str) -> RunFacts:
        facts = await read_facts(self._records, project, run_id)
        if facts is None:
            raise NotFound(f"there is no run {run_id!r}; `tidemill runs list` shows the ones there are")
        return facts
