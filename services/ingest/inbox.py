"""Runs that a bucket starts: a notification of a new object becomes a run on record and ``dataset.published``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from services.ingest.notifications import Ignored, Notified, Place, UnusableNotification, parse_notification, place_of
from services.ingest.sources.bucket import read_small_object
from tidemill.bus import Bus
from tidemill.bus.dead_letters import bury
from tidemill.bus.delivery import Delivery
from tidemill.contracts import DatasetPublished, RecipeError, parse_recipe
from tidemill.contracts.machine_paths import on_a_machine
from tidemill.errors import PermanentError
from tidemill.recipe_text import parse
from tidemill.records import RecordStore
from tidemill.stage.runs import Runs
from tidemill.telemetry import measures, run_scope, span

log = logging.getLogger(__name__)

LARGEST_RECIPE = 1 << 20


class Inbox:
    """Takes the notifications of ``buckets``; what other buckets tell is refused."""

    def __init__(self, bus: Bus, records: RecordStore, runs: Runs, buckets: Collection[str]) -> None:
        self._bus = bus
        self._records = records
        self._runs = runs
        self._buckets = frozenset(buckets)

    async def on_notification(self, delivery: Delivery) -> None:
        """Handle one delivery. What cannot be used goes into the dead letters, from where it can be replayed.

        Raises:
            TransientError: store or stream are away; it has to be delivered again.
        """
        try:
            records = parse_notification(delivery.body)
        except Ignored as why:
            _tell("ignored", str(why))
            return
        except UnusableNotification:
            _count("refused")
            raise
        for notified in records:
            await self._on_record(notified, delivery)

    async def _on_record(self, notified: Notified, delivery: Delivery) -> None:
        project = "default"
        try:
            if notified.bucket not in self._buckets:
                raise UnusableNotification(
                    f"bucket {notified.bucket!r} starts no runs; add it to TIDEMILL_INGEST_INBOX_BUCKETS if it may"
                )
            place = place_of(notified)
            project = place.project
            await self._begin(notified, place)
        except Ignored as why:
            _tell("ignored", str(why))
        except PermanentError as error:
            _count("refused")
            log.error("a notification of %s is kept in the dead letters: %s", notified.uri, error)
            await bury(
                self._bus, self._records, stage="ingest", delivery=delivery, error=str(error), kind="permanent",
                project=project,
            )  # fmt: skip

    async def _begin(self, notified: Notified, place: Place) -> None:
        """Put the run on record and announce it. Doing so again announces the same, which the stream keeps once."""
        run_id = notified.run_id
        known = await self._records.run(place.project, run_id)
        trace = known.traceparent if known is not None else None
        with run_scope(run_id), span("publish", traceparent=trace, run_id=run_id, project=place.project):
            if known is None:
                known = await self._runs.begin(await self._event(notified, place))
                _tell("started", f"{notified.uri} starts run {run_id}")
            else:
                _tell("repeated", f"{notified.uri} has started run {run_id} before")
            await self._bus.announce(known.event, fingerprint="published")

    async def _event(self, notified: Notified, place: Place) -> DatasetPublished:
        written = await asyncio.to_thread(
            read_small_object, notified.bucket, place.recipe_key, most_bytes=LARGEST_RECIPE
        )
        try:
            recipe = parse(written.decode("utf-8-sig")) if written is not None else None
            refused = on_a_machine(parse_recipe(recipe))
        except RecipeError:
            refused = None  # its run says so
        except UnicodeDecodeError:
            raise PermanentError(f"{place.recipe_key} is not UTF-8 text; save it as UTF-8 and replay this") from None
        except PermanentError as error:
            raise PermanentError(f"{place.recipe_key}: {error}; correct it and replay this") from None
        if refused is not None:
            raise PermanentError(f"{place.recipe_key}: {refused}; correct it and replay this")
        return DatasetPublished(
            project=place.project, run_id=notified.run_id, name=place.dataset, uri=notified.uri, recipe=recipe
        )


def _tell(outcome: str, why: str) -> None:
    _count(outcome)
    log.info("bucket notification %s: %s", outcome, why)


def _count(outcome: str) -> None:
    measures.NOTIFICATIONS.record(1, {measures.OUTCOME: outcome})
