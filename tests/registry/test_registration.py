"""From a compressed model to a numbered version that serves, or does not, and why."""

from __future__ import annotations

import asyncio
from typing import Any

from services.registry.chain import CHAMPION, target, versions
from tests.registry.conftest import TRACE, Bench, eventually, registry, stage_events
from tidemill.contracts import ModelPromoted, ModelRegistered, RunFailed, RunFinished
from tidemill.contracts.queries import ListDeadLetters, ShowModel, ShowRun
from tidemill.records.schema import AliasMoved


async def test_the_first_version_of_a_chinese_model_is_promoted_and_serves(bench: Bench) -> None:
    finished = await bench.finished("评论.情感", macro_f1=0.93)
    assert (finished.state, finished.name, finished.version, finished.promoted) == ("finished", "评论.情感", 1, True)
    assert finished.reason == "first champion: macro_f1 0.930"
    assert bench.log.of(ModelRegistered, finished.run_id)[0].version == 1
    promoted = await bench.log.wait_for(ModelPromoted, finished.run_id)
    assert (promoted.alias, promoted.version, promoted.previous) == ("champion", 1, None)
    deployment = await bench.deployments.get("default", "评论.情感")
    assert deployment is not None
    assert [(one.version, one.traceparent) for one in deployment.versions] == [(1, TRACE)]
    status = await eventually(lambda: _ended(bench, finished.run_id))
    assert status.reached == ["ingest", "preprocess", "train", "compress", "register"]


async def test_a_better_model_takes_over_and_an_older_dataset_never_takes_it_back(bench: Bench) -> None:
    first = await bench.finished("reviews", model="old", macro_f1=0.90)
    better = await bench.finished("reviews", model="new", macro_f1=0.95)
    assert better.version == 2
    assert better.reason == "macro_f1 0.950 beats the champion's 0.900 (version 1)"
    again = await bench.finished("reviews", model="old", macro_f1=0.90)
    assert (again.version, again.promoted) == (first.version, False)
    assert again.reason == "not promoted: macro_f1 0.900 does not beat the champion's 0.950 (version 2)"
    same = await bench.finished("reviews", model="new", macro_f1=0.95)
    assert (same.version, same.promoted, same.reason) == (2, True, "version 2 is the champion already")
    deployment = await bench.deployments.get("default", "reviews")
    assert deployment is not None
    assert deployment.versions[0].version == 2
    assert len(versions(await bench.records.decisions("default"), "reviews")) == 2


async def test_the_gates_of_the_recipe_keep_a_version_from_serving(bench: Bench) -> None:
    off = await bench.finished("gated", macro_f1=0.9, recipe={"promotion": {"enabled": False}})
    assert (off.version, off.promoted) == (1, False)
    assert off.reason == "not promoted: promotion.enabled is false in the recipe"
    minimum = {"promotion": {"minimum": {"accuracy": 0.95, "auc": 0.5}}}
    low = await bench.finished("gated", macro_f1=0.9, recipe=minimum)
    assert low.reason == (
        "not promoted: accuracy 0.900 is below promotion.minimum 0.95; "
        "promotion.minimum asks for auc, which was not measured"
    )
    unwanted = await bench.finished("gated", promote=False)
    assert unwanted.reason == "not promoted: published without promotion"
    assert await bench.deployments.get("default", "gated") is None
    wanted = await bench.finished("gated", promote=True, recipe={"promotion": {"enabled": False}})
    assert (wanted.version, wanted.promoted) == (4, True)
    worse = {"promotion": {"must_beat_champion": False}}
    assert (await bench.finished("gated", macro_f1=0.5, recipe=worse)).promoted


async def test_the_same_event_announced_again_changes_nothing(bench: Bench) -> None:
    finished = await bench.finished("twice")
    chain = await bench.records.decisions("default")
    run = await bench.bus.ask(ShowRun(run_id=finished.run_id))
    record = await bench.records.stage("default", finished.run_id, "compress")
    assert record is not None
    event = await bench.work(finished.run_id, "twice")
    await bench.bus.announce(event, fingerprint=record.fingerprint, announcement=2)
    await eventually(lambda: _drained(bench))
    assert await bench.records.decisions("default") == chain
    assert await bench.bus.ask(ShowRun(run_id=finished.run_id)) == run
    assert len(bench.log.of(ModelRegistered, finished.run_id)) == len(bench.log.of(ModelPromoted, finished.run_id))


async def test_two_registries_race_for_the_same_models(bench: Bench) -> None:
    async with registry(bench):
        runs = [await bench.publish("raced") for _ in range(8)]
        scores = [0.80, 0.85, 0.90, 0.95, 0.94, 0.93, 0.92, 0.91]
        works = (bench.work(run, "raced", macro_f1=score) for run, score in zip(runs, scores, strict=True))
        await asyncio.gather(*works)
        ended = [await bench.log.wait_for(RunFinished, run) for run in runs]
    assert sorted(one.version or 0 for one in ended) == list(range(1, 9))
    chain = await bench.records.decisions("default")
    champion = target(chain, "raced", CHAMPION)
    assert champion is not None
    assert champion.event.evaluation.metrics["macro_f1"] == 0.95
    moves = [r.decision for r in chain if isinstance(r.decision, AliasMoved) and r.decision.name == "raced"]
    assert [move.previous for move in moves] == [None, *(move.version for move in moves[:-1])]
    deployment = await bench.deployments.get("default", "raced")
    assert deployment is not None
    assert deployment.versions[0].version == champion.version


async def test_a_model_with_an_unreadable_recipe_fails_its_run_with_a_reason(bench: Bench) -> None:
    run_id = await bench.publish("broken")
    folder = bench.folder / "broken-recipe"
    folder.mkdir()
    (folder / "recipe.json").write_text('{"trainin": {}}')
    await bench.work(run_id, "broken", recipe=await bench.store.put(folder, kind="recipe"))
    failed = await bench.log.wait_for(RunFailed, run_id)
    assert failed.stage == "register"
    assert "did you mean 'training'?" in failed.error
    view = await eventually(lambda: _view(bench, run_id, "failed"))
    assert view["error_stage"] == "register"
    assert view["stages"][-1]["state"] == "failed"
    letters = await bench.bus.ask(ListDeadLetters())
    assert letters[0]["run_id"] == run_id
    assert letters[0]["subject"] == "tidemill.model.compressed.v1"


async def test_a_compressed_model_of_nobody_goes_to_the_dead_letters(bench: Bench) -> None:
    frozen = await bench.recipe(None)
    _, event = stage_events("run-of-nobody", "ghost", frozen, 0.9, "ghost")[-1]
    await bench.bus.announce(event, fingerprint="ghost")

    async def letter() -> bool:
        return any("run-of-nobody" in one["error"] for one in await bench.bus.ask(ListDeadLetters()))

    await eventually(letter)


async def test_lineage_leads_from_the_version_to_the_source(bench: Bench) -> None:
    finished = await bench.finished("lineage")
    model = await bench.bus.ask(ShowModel(name="lineage"))
    version = model["versions"][0]
    record = await bench.records.stage("default", finished.run_id, "ingest")
    assert record is not None
    assert version["source"] == record.event["source"]
    assert version["ingested"] == record.event["dataset"]
    assert version["usage"]["cpu_seconds"] == 6.0
    assert model["aliases"] == {"champion": 1}


async def _ended(bench: Bench, run_id: str) -> Any:
    status = await bench.states.get("default", run_id)
    return status if status and status.state == "finished" else None


async def _view(bench: Bench, run_id: str, state: str) -> Any:
    view = await bench.bus.ask(ShowRun(run_id=run_id))
    return view if view["state"] == state else None


async def _drained(bench: Bench) -> bool:
    info = await bench.bus.jetstream.consumer_info("EVENTS", "registry-events")
    return not info.num_pending and not info.num_ack_pending
