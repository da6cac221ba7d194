"""The end of a run: its model becomes a numbered version, passes the gates or does not, and serves.

Every step is either written once under a key of its own or the same when it is done again, so a crash anywhere is
completed by the redelivery of the event, or by the reconciler.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from services.registry import chain as decided
from services.registry.chain import CHAMPION, Chain
from services.registry.facts import RunFacts, read_facts, stage_event
from services.registry.gates import Champion, Verdict, judge
from services.registry.projection import Projection
from services.registry.revocation import revoked_words
from services.registry.serving import Serving
from services.registry.signing import Signer
from tidemill.artifacts import ArtifactStore
from tidemill.bus import Bus, RunStatus
from tidemill.bus.delivery import Delivery
from tidemill.contracts import (
    DatasetPrepared,
    ModelCompressed,
    ModelPromoted,
    ModelRegistered,
    Recipe,
    RecipeError,
    RunFailed,
    RunFinished,
    failure_kind,
    parse_recipe,
)
from tidemill.errors import NotFound, PermanentError, TransientError
from tidemill.records import RecordStore
from tidemill.records.schema import AliasMoved, OutcomeRecord, StageRecord, VersionRegistered
from tidemill.stage.failure import FailurePolicy
from tidemill.stage.remaking import Remaker
from tidemill.stage.runs import Runs

log = logging.getLogger(__name__)


class Registrar:
    """Registers the models of runs."""

    def __init__(
        self,
        *,
        bus: Bus,
        records: RecordStore,
        store: ArtifactStore,
        runs: Runs,
        projection: Projection,
        serving: Serving,
        signer: Signer,
        max_attempts: int,
    ) -> None:
        self._bus = bus
        self._records = records
        self._store = store
        self._runs = runs
        self._projection = projection
        self._serving = serving
        self._signer = signer
        self._failures = FailurePolicy(
            "register", ModelCompressed.subject, runs, records, max_attempts, Remaker(bus, store, records)
        )

    async def compressed(self, project: str, run_id: str) -> tuple[RunFacts, ModelCompressed]:
        """What is on record about a run whose model is ready.

        Raises:
            NotFound: there is no such run, or its compress stage is not on record.
        """
        facts = await read_facts(self._records, project, run_id)
        if facts is None:
            raise NotFound(f"run {run_id!r} is not on record; publish a dataset to start one")
        record = facts.stage("compress")
        event = stage_event(record) if record is not None else None
        if not isinstance(event, ModelCompressed):
            raise NotFound(f"run {run_id!r} has no result of the stage compress on record; nothing to register")
        return facts, event

    async def register_or_fail(self, facts: RunFacts, event: ModelCompressed, delivery: Delivery | None = None) -> None:
        """``register``, and fail the run when that cannot succeed; ``delivery`` is kept in the dead letters then.

        Raises:
            TransientError, Retry: it is to be tried again.
        """
        try:
            await self.register(facts, event)
        except TransientError:
            raise
        except Exception as error:
            kept = delivery or Delivery(subject=event.subject, body=event.model_dump_json().encode())
            await self._failures.planning_failed(event, kept, error, facts.epoch)
            await self._projection.run(event.project, event.run_id)

    async def finish_prepared(self, facts: RunFacts, prepared: DatasetPrepared) -> None:
        """Bring a run that ends with its prepared dataset to its end; one that has ended otherwise stays as it is.

        Raises:
            TransientError: something is out of reach; doing it again completes it.
        """
        project, run_id = facts.project, facts.run_id
        outcome = facts.outcome
        if outcome is None:
            if (await self._runs.status(project, run_id)).state != "running":
                log.info("run %s is not running any more; it does not finish", run_id)
                return
            rows = sum(prepared.parts.values())
            ended = OutcomeRecord(
                epoch=facts.epoch, state="finished", ended_at=datetime.now(UTC), stage="preprocess",
                reason=f"prepared {rows:,} rows; nothing is trained (until: prepared)",
            )  # fmt: skip
            await self._records.create_outcome(project, run_id, ended)
            now = await read_facts(self._records, project, run_id) or facts
            outcome = now.outcome or ended
        await self.complete(project, run_id, outcome)

    async def register(self, facts: RunFacts, event: ModelCompressed) -> None:
        """Bring a run from its compressed model to its end. A run that has ended otherwise stays as it is.

        Raises:
            PermanentError: the recipe is not readable.
            TransientError: something is out of reach; registering again completes it.
        """
        project, run_id = event.project, event.run_id
        outcome = facts.outcome
        if outcome is None:
            if not await self._runs.reach(project, run_id, "register"):
                log.info("run %s is not running any more; nothing is registered", run_id)
                return
            # A failure that looked at the run before it came this far may have been written since the facts were read.
            now = await read_facts(self._records, project, run_id) or facts
            outcome = now.outcome or await self._decide(now, event)
        await self.complete(project, run_id, outcome)

    async def complete(self, project: str, run_id: str, outcome: OutcomeRecord) -> None:
        """Make known how a run ended: tables, announcements, and its KV entry last. Repeating it changes nothing."""
        await self._projection.decisions(project)
        await self._projection.run(project, run_id)
        if outcome.state == "finished" and outcome.name and outcome.version:
            await self._serving.deploy(project, outcome.name)
            await self._announce_model(project, run_id, outcome.name, outcome.version)
        await self._bus.announce(_ended(project, run_id, outcome), fingerprint=f"epoch-{outcome.epoch}")

        def end(status: RunStatus) -> RunStatus | None:
            if status.epoch != outcome.epoch or status.state == outcome.state:
                return None
            return status.model_copy(update={"state": outcome.state, "error": outcome.error})

        await self._runs.status(project, run_id)
        await self._runs.states.change(project, run_id, end)

    async def _decide(self, facts: RunFacts, event: ModelCompressed) -> OutcomeRecord:
        taken_at = datetime.now(UTC)
        recipe = await self._recipe(event)
        version, existed = await self._version(event)
        verdict = await self._promotion(facts, event, recipe, version)
        if verdict.promote:
            await self._serving.deploy(event.project, event.name)
        await self._records.create_stage(
            event.project, event.run_id, _stage_record(event, version, taken_at, cached=existed)
        )
        outcome = OutcomeRecord(
            epoch=facts.epoch, state="finished", ended_at=datetime.now(UTC), stage="register", name=event.name,
            version=version.version, promoted=verdict.promote, reason=verdict.reason,
        )  # fmt: skip
        await self._records.create_outcome(event.project, event.run_id, outcome)
        log.info("run %s: %s version %d; %s", event.run_id, event.name, version.version, verdict.reason)
        now = await read_facts(self._records, event.project, event.run_id)
        return now.outcome if now and now.outcome else outcome

    async def _recipe(self, event: ModelCompressed) -> Recipe:
        try:
            return parse_recipe(json.loads(await self._store.read(event.recipe, "recipe.json")))
        except (RecipeError, ValueError) as error:
            raise PermanentError(f"the frozen recipe {event.recipe.digest} cannot be read: {error}") from None

    async def _version(self, event: ModelCompressed) -> tuple[VersionRegistered, bool]:
        """The run's version, and whether its package had been registered by another run."""
        found: list[VersionRegistered] = []

        def decide(chain: Chain) -> VersionRegistered | None:
            found.clear()
            known = decided.version_of(chain, event.name, run_id=event.run_id, digest=event.model.digest)
            if known is not None:
                found.append(known)
                return None
            number = decided.next_number(chain, event.name)
            signature = self._signer.sign(event.project, event.name, number, event.model.digest)
            return VersionRegistered(
                name=event.name, version=number, run_id=event.run_id, event=event, signature=signature
            )

        record = await self._records.append_decision(event.project, decide)
        if record is not None and isinstance(record.decision, VersionRegistered):
            return record.decision, False
        return found[0], found[0].run_id != event.run_id

    async def _promotion(
        self, facts: RunFacts, event: ModelCompressed, recipe: Recipe, version: VersionRegistered
    ) -> Verdict:
        verdicts: list[Verdict] = []

        def decide(chain: Chain) -> AliasMoved | None:
            moved = decided.moved_by(chain, event.name, CHAMPION, event.run_id)
            if moved is not None:
                verdicts.append(Verdict(True, moved.reason))
                return None
            if version.version in decided.deleted_versions(chain, event.name):
                verdicts.append(Verdict(False, f"version {version.version} was deleted before it could be promoted"))
                return None
            revoked = decided.revocation(chain, event.name, version.version)
            if revoked is not None:
                verdicts.append(Verdict(False, revoked_words(revoked)))
                return None
            current = decided.target(chain, event.name, CHAMPION)
            champion = Champion(current.version, current.event.evaluation.metrics) if current else None
            verdict = judge(
                recipe,
                version=version.version,
                metrics=version.event.evaluation.metrics,
                champion=champion,
                wanted=facts.record.event.promote,
            )
            verdicts.append(verdict)
            if not verdict.promote or (champion and champion.version == version.version):
                return None
            return AliasMoved(
                name=event.name, alias=CHAMPION, version=version.version, reason=verdict.reason,
                previous=champion.version if champion else None, run_id=event.run_id,
            )  # fmt: skip

        await self._records.append_decision(event.project, decide)
        return verdicts[-1]

    async def _announce_model(self, project: str, run_id: str, name: str, number: int) -> None:
        chain = await self._records.decisions(project)
        version = decided.numbered(chain, name, number)
        if version is None:
            return
        registered = ModelRegistered(
            project=project, run_id=run_id, name=name, version=number,
            model=version.event.model, dataset=version.event.dataset,
        )  # fmt: skip
        await self._bus.announce(registered, fingerprint=version.event.model.digest)
        moved = decided.moved_by(chain, name, CHAMPION, run_id)
        if moved is not None:
            promoted = ModelPromoted(
                project=project, run_id=run_id, name=name, alias=moved.alias, version=moved.version,
                previous=moved.previous, reason=moved.reason,
            )  # fmt: skip
            await self._bus.announce(promoted, fingerprint=f"{name}:{moved.alias}:{moved.version}")


def _ended(project: str, run_id: str, outcome: OutcomeRecord) -> RunFinished | RunFailed:
    if outcome.state == "failed":
        return RunFailed(
            project=project, run_id=run_id, stage=outcome.stage or "register", error=outcome.error or "unknown",
            kind=failure_kind(outcome.reason),
        )  # fmt: skip
    return RunFinished(
        project=project, run_id=run_id, state="cancelled" if outcome.state == "cancelled" else "finished",
        name=outcome.name, version=outcome.version, promoted=outcome.promoted, reason=outcome.reason,
    )  # fmt: skip


def _stage_record(
    event: ModelCompressed, version: VersionRegistered, taken_at: datetime, *, cached: bool
) -> StageRecord:
    registered = ModelRegistered(
        project=event.project, run_id=event.run_id, name=event.name, version=version.version,
        model=version.event.model, dataset=version.event.dataset,
    )  # fmt: skip
    return StageRecord(
        stage="register",
        subject=registered.subject,
        event=registered.model_dump(mode="json"),
        fingerprint=version.event.model.digest.removeprefix("sha256:"),
        started_at=taken_at,
        finished_at=datetime.now(UTC),
        cached=cached,
        jobs=1,
    )
