"""A small stage that works in rounds, for tests: each job squares a number in two steps, a last one adds them up.

The URI says what to do: ``sum:1,2,3?bonus=5`` squares 1, 2 and 3 and adds 5 to each square in a second step. What is
worked is written, line by line, into the file that the fragment names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tidemill.contracts import DatasetIngested, DatasetPublished, Frozen, Recipe
from tidemill.jobs.report import Inputs, ProgressReport
from tidemill.stage import Job, JobResult, Stage
from tidemill.testing.stages import NOWHERE


class Square(Frozen):
    """The first step."""

    number: int


class Bonus(Frozen):
    """The second step."""

    bonus: int


class SumSpec(Frozen):
    """A number to square, or nothing: then the inputs are added up."""

    square: Square | None = None
    bonus: Bonus | None = None
    diary: str = ""


class SumResult(Frozen):
    """What came out."""

    value: int


def plan_squares(event: DatasetPublished, recipe: Recipe) -> Sequence[Job[SumSpec]]:
    """A job for each number."""
    uri = urlsplit(event.uri or "sum:1")
    bonus = Bonus(bonus=int(parse_qs(uri.query).get("bonus", ["0"])[0]))
    squares = [Square(number=int(number)) for number in uri.path.split(",")]
    return [
        Job(SumSpec(square=one, bonus=bonus, diary=uri.fragment), title=f"square of {one.number}", steps=[one, bonus])
        for one in squares
    ]


def plan_sum(
    event: DatasetPublished, recipe: Recipe, rounds: Sequence[Sequence[JobResult[SumResult]]]
) -> Sequence[Job[SumSpec]]:
    """Behind the squares one job that adds them up."""
    if len(rounds) > 1:
        return []
    inputs = {f"square {number}": result.artifacts["dataset"] for number, result in enumerate(rounds[0])}
    return [Job(SumSpec(diary=urlsplit(event.uri or "").fragment), inputs=inputs, title="sum")]


def work(spec: SumSpec, inputs: Inputs, output: Path, report: ProgressReport) -> SumResult:
    """Square and add the bonus, or add up."""
    (output / "dataset").mkdir()
    if spec.square is None or spec.bonus is None:
        value = sum(int((folder / "value").read_text()) for folder in inputs.paths.values())
        _write_down(spec, "sum")
    else:
        done, folder = inputs.step or (-1, output)
        value = int((folder / "value").read_text()) if done >= 0 else 0
        if done < 0:
            value = spec.square.number**2
            _write_down(spec, f"square {spec.square.number}")
            _keep(report, output, 0, value)
        if done < 1:
            value += spec.bonus.bonus
            _write_down(spec, f"bonus {spec.square.number}")
            _keep(report, output, 1, value)
    (output / "dataset" / "value").write_text(str(value))
    (output / "recipe").mkdir()
    (output / "recipe" / "recipe.json").write_text("{}")
    return SumResult(value=value)


def join_sum(event: DatasetPublished, recipe: Recipe, results: Sequence[JobResult[SumResult]]) -> DatasetIngested:
    """As many rows as the sum says."""
    *squares, total = results
    return DatasetIngested(
        project=event.project, run_id=event.run_id, name=event.name, recipe=total.artifacts["recipe"], source=NOWHERE,
        dataset=total.artifacts["dataset"], task="text-classification", rows=total.result.value,
        parts={"data": len(squares)},
    )  # fmt: skip


def sum_stage() -> Stage[DatasetPublished, SumSpec, SumResult]:
    """The stage."""
    return Stage(
        name="ingest", consumes=DatasetPublished, revision=1, spec=SumSpec, result=SumResult,
        outputs={"dataset": "dataset", "recipe": "recipe"}, plan=plan_squares, follow=plan_sum, work=work,
        join=join_sum, preload=("tidemill.testing.rounds",),
    )  # fmt: skip


def _keep(report: ProgressReport, output: Path, step: int, value: int) -> None:
    folder = output / f"kept-{step}"
    folder.mkdir()
    (folder / "value").write_text(str(value))
    report.step(step, folder)


def _write_down(spec: SumSpec, what: str) -> None:
    with Path(spec.diary).open("a") as diary:
        diary.write(f"{what}\n")
