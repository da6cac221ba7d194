"""A dataset of many shards is the same artifact, whether one job prepares it or one for each shard."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from services.preprocess.privacy import reveal
from services.preprocess.spec import PreprocessResult, PreprocessSpec
from services.preprocess.stage import preprocess_stage
from tests.preprocess.conftest import contents, prepare_folder, write_ingested
from tidemill.artifacts import open_store
from tidemill.contracts import ArtifactRef, DatasetIngested, Recipe, ResourceUsage, parse_recipe
from tidemill.jobs.report import Inputs, SilentReport
from tidemill.stage.definition import Job, JobResult

TEXT = {"text": "body", "label": "kind"}


class InRounds:
    """Works the jobs of the stage by hand, as its workers do, with artifacts in a store."""

    def __init__(self, folder: Path, store: Any) -> None:
        self.folder = folder
        self.store = store
        self.worked: list[Job[PreprocessSpec]] = []

    async def prepare(self, ingested: Path, task: str, parts: dict[str, int], recipe: Recipe) -> Any:
        stage = preprocess_stage()
        dataset = await self.store.put(ingested, kind="dataset")
        event = DatasetIngested(
            run_id="r1", name="x", recipe=dataset, source=dataset, dataset=dataset, task=task,
            rows=sum(parts.values()), parts=parts,
        )  # fmt: skip
        rounds: list[list[JobResult[PreprocessResult]]] = []
        jobs: Sequence[Job[PreprocessSpec]] = stage.plan(event, recipe)
        while jobs:
            rounds.append([await self._work(job, stage.outputs) for job in jobs])
            assert stage.follow is not None
            jobs = stage.follow(event, recipe, rounds)
        return stage.join(event, recipe, [result for done in rounds for result in done])

    async def _work(self, job: Job[PreprocessSpec], outputs: Any) -> JobResult[PreprocessResult]:
        self.worked.append(job)
        folder = self.folder / f"job-{len(self.worked)}"
        paths = {name: await self.store.fetch(ref, folder / name) for name, ref in job.inputs.items()}
        output = folder / "output"
        spec = PreprocessSpec.model_validate_json(job.spec.model_dump_json())
        result = preprocess_stage().work(spec, Inputs(paths), output, SilentReport())
        made = {
            path.name: await self.store.put(path, kind="dataset")
            for path in sorted(output.iterdir())
            if any(path.match(pattern) for pattern in outputs)
        }
        return JobResult(result, made, ResourceUsage(), cached=False)


@pytest.fixture
def in_rounds(tmp_path: Path) -> InRounds:
    return InRounds(tmp_path / "jobs", open_store(str(tmp_path / "store"), cache=tmp_path / "cache"))


def texts(rows: int, first: int = 0) -> pa.Table:
    """Texts of which every 1900th is the same."""
    numbers = [number % 1900 for number in range(first, first + rows)]
    return pa.table(
        {
            "body": [f"  text {number}  of {number % 7} mail a{number % 90}@b.org" for number in numbers],
            "kind": [("yes", "no", "maybe")[number % 3] for number in numbers],
        }
    )


@pytest.mark.parametrize("given", [False, True])
async def test_one_job_and_one_for_each_shard_leave_the_same(tmp_path: Path, in_rounds: InRounds, given: bool) -> None:
    parts = {"train": texts(2300), "test": texts(1200, 5000)} if given else {"data": texts(3500)}
    write_ingested(tmp_path / "ingested", parts, "text-classification", TEXT, shard_rows=1000)
    data = {
        **TEXT, "shard_rows": 1000, "split": {"folds": 3}, "balance": {"method": "oversample"},
        "near_duplicates": {"threshold": 0.9},
    }  # fmt: skip
    alone = prepare_folder(tmp_path, "text-classification", data, None)
    recipe = parse_recipe({"data": data, "until": "prepared"})
    rows = {part: table.num_rows for part, table in parts.items()}
    announced = await in_rounds.prepare(tmp_path / "ingested", "text-classification", rows, recipe)
    assert announced.dataset == await in_rounds.store.put(alone.folder, kind="dataset")
    assert announced.parts == alone.result.parts
    assert announced.labels == ["maybe", "no", "yes"]
    assert announced.final
    assert len(in_rounds.worked) == 4 + 2 * (5 if given else 4)  # the last one is the report


async def test_shards_share_one_vault_of_tokens_and_one_spelling_of_labels(tmp_path: Path, in_rounds: InRounds) -> None:
    train, test = texts(1800), texts(600, 5000)
    dotted = pa.array([f"{label}." for label in test["kind"].to_pylist()])
    parts = {"train": train, "test": test.set_column(1, "kind", dotted)}
    write_ingested(tmp_path / "ingested", parts, "text-classification", TEXT, shard_rows=1000)
    (tmp_path / "key").write_text("a key of thirty-two characters..")
    privacy = {"detect": ["email"], "treatment": "token", "key": f"file:{tmp_path / 'key'}"}
    alone = prepare_folder(tmp_path, "text-classification", TEXT, privacy)
    assert alone.result.labels == ["maybe", "no", "yes"]
    recipe = parse_recipe({"data": {**TEXT, "shard_rows": 1000}, "privacy": privacy})
    rows = {"train": 1800, "test": 600}
    announced = await in_rounds.prepare(tmp_path / "ingested", "text-classification", rows, recipe)
    assert announced.dataset == await in_rounds.store.put(alone.folder, kind="dataset")
    assert announced.vault is not None
    vault = await in_rounds.store.fetch(announced.vault, tmp_path / "fetched")
    assert contents(vault) == contents(tmp_path / "output" / "vault")
    token = alone.texts("train")[0].split(" mail ")[1]
    assert token.startswith("<EMAIL")
    assert reveal(vault, token, b"a key of thirty-two characters..").endswith("@b.org")


async def test_appended_data_leaves_the_cleaning_of_old_shards_as_it_was(tmp_path: Path, in_rounds: InRounds) -> None:
    recipe = parse_recipe({"data": {**TEXT, "shard_rows": 1000}})

    async def cleaned(table: pa.Table) -> list[tuple[str, dict[str, ArtifactRef]]]:
        in_rounds.worked.clear()
        shutil.rmtree(in_rounds.folder, ignore_errors=True)
        write_ingested(tmp_path / "ingested", {"data": table}, "text-classification", TEXT, shard_rows=1000)
        await in_rounds.prepare(tmp_path / "ingested", "text-classification", {"data": table.num_rows}, recipe)
        return [(job.spec.model_dump_json(), dict(job.inputs)) for job in in_rounds.worked if job.spec.kind == "map"]

    before = await cleaned(texts(2000))
    after = await cleaned(pa.concat_tables([texts(2000), texts(700, 7000)]))
    assert len(before) == 2
    assert len(after) == 3
    assert after[:2] == before


async def test_other_augmentation_cleans_and_decides_nothing_again(tmp_path: Path, in_rounds: InRounds) -> None:
    write_ingested(tmp_path / "ingested", {"data": texts(1500)}, "text-classification", TEXT, shard_rows=1000)
    jobs = []
    for copies in (1, 2):
        in_rounds.worked.clear()
        shutil.rmtree(in_rounds.folder, ignore_errors=True)
        recipe = parse_recipe({"data": {**TEXT, "shard_rows": 1000, "augment": {"text": {"copies": copies}}}})
        await in_rounds.prepare(tmp_path / "ingested", "text-classification", {"data": 1500}, recipe)
        jobs.append({(job.spec.model_dump_json(), str(job.inputs)): job.spec.kind for job in in_rounds.worked})
    again = [kind for job, kind in jobs[1].items() if job not in jobs[0]]
    assert again == ["apply", "apply", "assemble", "report"]


def test_how_rows_lie_in_shards_does_not_show_in_the_rows(tmp_path: Path) -> None:
    found = []
    for shard_rows in (1000, 1700, 10_000):
        write_ingested(tmp_path / "ingested", {"data": texts(3500)}, "text-classification", TEXT, shard_rows=shard_rows)
        prepared = prepare_folder(tmp_path, "text-classification", TEXT, None)
        found.append({part: prepared.rows(part) for part in ("train", "validation", "test")})
    assert found[0] == found[1] == found[2]


def test_the_numbers_of_files_are_those_of_the_ingested_shards(tmp_path: Path) -> None:
    write_ingested(tmp_path / "ingested", {"data": texts(2500)}, "text-classification", TEXT, shard_rows=1000)
    prepared = prepare_folder(tmp_path, "text-classification", TEXT, None)
    files = [name for name in contents(prepared.folder) if name.startswith("train/")]
    assert files == ["train/00000.parquet", "train/00001.parquet"]  # the third shard says nothing new


def test_a_large_dataset_is_one_job_on_a_cluster() -> None:
    ref = ArtifactRef(digest="sha256:" + "0" * 64, kind="dataset", size_bytes=1)
    event = DatasetIngested(
        run_id="r1", name="x", recipe=ref, source=ref, dataset=ref, task="text-classification", rows=9000,
        parts={"data": 9000},
    )  # fmt: skip
    data = {**TEXT, "shard_rows": 1000}
    (job,) = preprocess_stage().plan(event, parse_recipe({"data": data | {"engine": "ray"}}))
    assert (job.spec.kind, job.spec.engine) == ("all", "ray")
    (job,) = preprocess_stage().plan(event, parse_recipe({"data": data}))
    assert job.spec.kind == "shards"
