"""Tables, recipes and runs that the tests about data share."""

from __future__ import annotations

import asyncio
import json
import random
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.preprocess.spec import PreprocessSpec
from services.preprocess.stage import preprocess
from tests.pipeline.conftest import Whole
from tidemill.artifacts import open_store
from tidemill.contracts import parse_recipe
from tidemill.contracts.queries import RunView
from tidemill.datasets import read_part
from tidemill.jobs.report import Inputs, SilentReport

PREPARED: dict[str, Any] = {"until": "prepared"}
PEOPLE: dict[str, Any] = PREPARED | {"task": "tabular-classification", "data": {"label": "income"}}


def people(path: Path, rows: int, *, seed: int = 1, oldest: int = 80) -> Path:
    """A dirty table as old ones are: spaces behind the commas, ``?`` for what nobody knew."""
    chance = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        file.write("number, age, job, city, income\n")
        for number in range(rows):
            age = chance.randint(18, oldest)
            known = age if chance.random() > 0.1 else "?"
            job, city = chance.choice(["nurse", "smith", "clerk", "?"]), chance.choice(["Bonn", "Köln", "上海"])
            file.write(f"{number}, {known}, {job}, {city}, {'high' if age > 45 else 'low'}\n")
    return path


def finished(view: RunView) -> RunView:
    assert view.state == "finished", view.error
    return view


def prepare(whole: Whole, source: Path, name: str, recipe: Mapping[str, Any] = PEOPLE, **how: Any) -> RunView:
    return finished(whole.client.publish(source, name=name, recipe=dict(recipe), **how).wait(timeout=90))


def prepared_rows(whole: Whole, run_id: str, folder: Path) -> list[dict[str, Any]]:
    dataset = whole.artifact(whole.prepared(run_id).dataset, folder)
    return [row for part in ("train", "validation", "test") for row in read_part(dataset, part).to_pylist()]


def report_of(whole: Whole, run_id: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{whole.client.url}/v1/runs/{run_id}/report?format=json", timeout=10) as answer:
        document: dict[str, Any] = json.load(answer)
        return document


def with_data(recipe: Mapping[str, Any], **data: Any) -> dict[str, Any]:
    return {**recipe, "data": {**recipe.get("data", {}), **data}}


def names(whole: Whole, view: RunView) -> list[str]:
    return [span["name"] for span in whole.document("trace", view.run_id)["spans"]]


def cleaned(whole: Whole, view: RunView) -> list[str]:
    """The shards that were cleaned in a run."""
    titles = [one["name"].removeprefix("preprocess ") for one in whole.jobs(view.run_id, "preprocess")]
    return [title.removeprefix("clean ") for title in titles if title.startswith("clean ")]


def in_one_job(whole: Whole, run_id: str, folder: Path) -> str:
    """The digest of the run's prepared dataset, prepared here from the same shards by one job."""
    event = whole.ingested(run_id)
    dataset = whole.artifact(event.dataset, folder)
    recipe = parse_recipe(json.loads((whole.artifact(event.recipe, folder) / "recipe.json").read_bytes()))
    output = folder / "output"
    output.mkdir()
    preprocess(PreprocessSpec.of(event.task, recipe), Inputs(paths={"dataset": dataset}), output, SilentReport())
    return digest_of(output / "dataset", folder)


def digest_of(dataset: Path, folder: Path) -> str:
    store = open_store(str(folder / "own-store"), cache=folder / "own-cache")
    return asyncio.run(store.put(dataset, kind="dataset")).digest
