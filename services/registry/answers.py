"""Answers to questions, from the database. A run that goes on is compared with its records before it is shown."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from services.registry import views
from services.registry.chain import CHAMPION
from services.registry.database import Database
from services.registry.dead_letters import DeadLetters
from services.registry.live import Live
from services.registry.projection import Projection
from services.registry.repositories import Deletions, Lineage, Models, Runs
from services.registry.tables import AliasEntry, VersionEntry
from tidemill.contracts import Prices
from tidemill.contracts.queries import (
    QUESTION_TYPES,
    Answer,
    DatasetRow,
    DeadLetterView,
    ListDatasets,
    ListDeadLetters,
    ListModels,
    ListRuns,
    ModelRow,
    ModelView,
    Problem,
    Question,
    RunRow,
    RunView,
    ShowModel,
    ShowRun,
    VersionView,
)
from tidemill.errors import InvalidInput, NotFound, TidemillError, TransientError

log = logging.getLogger(__name__)

_QUESTIONS: dict[str, type[Question]] = {question.subject: question for question in QUESTION_TYPES}


class Answers:
    """Answers the questions of ``tidemill.contracts.queries``."""

    def __init__(
        self, database: Database, projection: Projection, dead_letters: DeadLetters, live: Live, prices: Prices
    ) -> None:
        self._database = database
        self._projection = projection
        self._dead_letters = dead_letters
        self._live = live
        self._prices = prices
        self._ways: dict[type[Question], Callable[[Any], Awaitable[Any]]] = {
            ListRuns: self.runs,
            ShowRun: self.run,
            ListModels: self.models,
            ShowModel: self.model,
            ListDatasets: self.datasets,
            ListDeadLetters: self.dead_letters,
        }

    async def reply(self, subject: str, body: bytes, *, most_bytes: int) -> bytes:
        """The answer to a question on ``subject`` as JSON; never raises.

        One that is longer than ``most_bytes``, which the server would not carry, is a problem instead.
        """
        try:
            answer = await self.answer(_parse(subject, body))
        except TidemillError as error:
            answer = Answer(problem=_problem(error))
        except Exception as error:
            log.exception("unforeseen error on %s", subject)
            detail = f"the registry could not answer ({type(error).__name__}); its log says more"
            answer = Answer(problem=Problem(kind="unavailable", detail=detail))
        reply = answer.model_dump_json().encode()
        if len(reply) <= most_bytes:
            return reply
        detail = (
            f"the answer has {len(reply)} bytes, and NATS carries {most_bytes} (max_payload); ask for less: --limit"
        )
        return Answer(problem=Problem(kind="invalid", detail=detail)).model_dump_json().encode()

    async def answer(self, question: Question) -> Answer:
        """The view that ``question`` asks for.

        Raises:
            NotFound: what it names is not there.
            TransientError: database or bus are out of reach.
        """
        value = await self._ways[type(question)](question)
        if isinstance(value, list):
            return Answer(value=[view.model_dump(mode="json") for view in value])
        return Answer(value=value.model_dump(mode="json"))

    async def runs(self, question: ListRuns) -> list[RunRow]:
        """The latest runs."""
        async with self._database.reading() as session:
            found = await Runs(session).newest(question.project, limit=question.limit, state=question.state)
            deleted = await Deletions(session).versions(question.project)
            return [views.run_row(run, deleted) for run in found]

    async def run(self, question: ShowRun) -> RunView:
        """One run."""
        async with self._database.reading() as session:
            known = await Runs(session).get(question.project, question.run_id)
        if known is None:
            if await self._projection.run(question.project, question.run_id) is None:
                raise NotFound(f"there is no run {question.run_id!r}; `tidemill runs list` shows the ones there are")
        elif known.state != "finished":  # a worker may end its try after the run has ended
            try:
                await self._projection.refresh(known)
            except TransientError as error:
                log.warning("run %s is shown as it was last heard of: %s", question.run_id, error)
        async with self._database.reading() as session:
            run = await Runs(session).get(question.project, question.run_id)
            assert run is not None
            stages = await Runs(session).stages(question.project, question.run_id)
            deletions = Deletions(session)
            return views.run_view(
                run, stages, self._live, self._prices, await deletions.versions(question.project),
                run.state != "running" and run.run_id in await deletions.runs(question.project),
            )  # fmt: skip

    async def models(self, question: ListModels) -> list[ModelRow]:
        """The models with the newest versions."""
        async with self._database.reading() as session:
            models = Models(session)
            rows = []
            for model, count, number in await models.newest(question.project, limit=question.limit):
                aliases = await models.aliases(question.project, model.name)
                newest = await models.version(question.project, model.name, number)
                champion = next((alias.version for alias in aliases if alias.alias == CHAMPION), number)
                shown = newest if champion == number else await models.version(question.project, model.name, champion)
                rows.append(views.model_row(model, aliases, newest, shown or newest, count))
            return rows

    async def model(self, question: ShowModel) -> ModelView:
        """One model with its versions."""
        async with self._database.reading() as session:
            models = Models(session)
            model = await models.get(question.project, question.name)
            if model is None:
                raise NotFound(f"there is no model {question.name!r}; `tidemill models list` shows the ones there are")
            aliases = await models.aliases(question.project, question.name)
            versions = await models.versions(question.project, question.name)
            return views.model_view(model, aliases, [await self._version(session, one, aliases) for one in versions])

    async def datasets(self, question: ListDatasets) -> list[DatasetRow]:
        """The datasets with the newest runs, or the one that is asked for."""
        async with self._database.reading() as session:
            runs = Runs(session)
            names = [question.name] if question.name else await runs.names(question.project, limit=question.limit)
            rows = views.dataset_rows(
                await runs.of_names(question.project, names), await runs.prepared(question.project, names),
                await Deletions(session).runs(question.project),
            )  # fmt: skip
            return sorted(rows, key=lambda row: names.index(row.name))

    async def dead_letters(self, question: ListDeadLetters) -> list[DeadLetterView]:
        """The latest dead letters."""
        return await self._dead_letters.newest(question.project, question.limit)

    async def _version(self, session: AsyncSession, version: VersionEntry, aliases: Any) -> VersionView:
        known: list[AliasEntry] = list(aliases)
        dataset = str(version.event["dataset"]["digest"])
        ingested = await Lineage(session).parents(version.project, dataset, "prepared-from")
        source = (
            await Lineage(session).parents(version.project, ingested[0].parent, "ingested-from") if ingested else []
        )  # fmt: skip
        stages = await Runs(session).stages(version.project, version.run_id)
        deleted = await Deletions(session).runs(version.project)
        return views.version_view(
            version, aliases=known, stages=stages, ingested=ingested, source=source, prices=self._prices,
            dataset_deleted=version.run_id in deleted,
        )  # fmt: skip


def _parse(subject: str, body: bytes) -> Question:
    kind = _QUESTIONS.get(subject)
    if kind is None:
        raise InvalidInput(f"{subject} is no question; known: {', '.join(sorted(_QUESTIONS))}")
    try:
        return kind.model_validate_json(body or b"{}")
    except ValidationError as invalid:
        first = invalid.errors()[0]
        where = ".".join(map(str, first["loc"])) or "question"
        raise InvalidInput(f"{subject}: {where}: {first['msg'].removeprefix('Value error, ')}") from None


def _problem(error: TidemillError) -> Problem:
    if isinstance(error, NotFound):
        return Problem(kind="not-found", detail=str(error))
    if isinstance(error, InvalidInput):
        return Problem(kind="invalid", detail=str(error))
    return Problem(kind="unavailable", detail=str(error))
