"""A small stage for tests of the stage machinery: its jobs do what the dataset's URI says.

``test:ok``, ``test:slow`` (twenty steps of a tenth of a second; ``?steps=90`` for more), ``test:stubborn`` (ten
seconds, whatever it is told), ``test:crash``, ``test:permanent``, ``test:unforeseen``, ``test:flaky`` (crashes until
the file named by the fragment exists, which it makes), ``test:full`` (finds a full disk until that file exists),
``test:random`` (never leaves the same bytes twice); ``?jobs=3`` plans several jobs.

``copy_stage`` follows it: it copies the dataset, so that there is a stage with an input.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tidemill.contracts import ArtifactRef, DatasetIngested, DatasetPrepared, DatasetPublished, Frozen, Recipe
from tidemill.errors import HandedBack, PermanentError
from tidemill.jobs.report import Inputs, ProgressReport
from tidemill.stage import Job, JobResult, Stage

NOWHERE = ArtifactRef(digest="sha256:" + "0" * 64, kind="source", size_bytes=0)


class EchoSpec(Frozen):
    """What one job does."""

    behaviour: str
    part: int
    marker: str = ""
    steps: int = 20


class EchoResult(Frozen):
    """What one job did."""

    part: int
    pid: int


def plan_echo(event: DatasetPublished, recipe: Recipe) -> Sequence[Job[EchoSpec]]:
    """As many jobs as the URI's query says."""
    uri = urlsplit(event.uri or "test:ok")
    query = parse_qs(uri.query)
    jobs, steps = (int(query.get(name, [default])[0]) for name, default in (("jobs", "1"), ("steps", "20")))
    return [
        Job(
            EchoSpec(behaviour=uri.path, part=part, marker=uri.fragment, steps=steps),
            title=f"part {part + 1} of {jobs}",
        )
        for part in range(jobs)
    ]


def echo(spec: EchoSpec, inputs: Inputs, output: Path, report: ProgressReport) -> EchoResult:
    """Behave as told, and leave the part's number as the dataset."""
    report.progress(0.1, f"{spec.behaviour} begins")
    if spec.behaviour == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if spec.behaviour == "flaky" and not Path(spec.marker).exists():
        Path(spec.marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if spec.behaviour == "full" and not Path(spec.marker).exists():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if spec.behaviour == "permanent":
        raise PermanentError("row 3, column 标签: nothing there; fill it in")
    if spec.behaviour == "unforeseen":
        raise ZeroDivisionError("one over nothing")
    if spec.behaviour == "slow":
        _slowly(spec.steps, inputs, output, report)
    if spec.behaviour == "stubborn":
        time.sleep(10)
    for name in ("dataset", "recipe"):
        (output / name).mkdir()
        chance = secrets.token_hex(8) if spec.behaviour == "random" else ""
        (output / name / "part.txt").write_text(f"{name} {spec.behaviour} {spec.part} {chance}")
        (output / name / "recipe.json").write_text("{}")
    return EchoResult(part=spec.part, pid=os.getpid())


def join_echo(event: DatasetPublished, recipe: Recipe, results: Sequence[JobResult[EchoResult]]) -> DatasetIngested:
    """One dataset, with as many rows as there were jobs."""
    return DatasetIngested(
        project=event.project,
        run_id=event.run_id,
        name=event.name,
        recipe=results[0].artifacts["recipe"],
        source=NOWHERE,
        dataset=results[0].artifacts["dataset"],
        task="text-classification",
        rows=len(results),
        parts={"data": len(results)},
    )


def snapshot_echo(event: DatasetPublished, into: Path, report: ProgressReport) -> None:
    """Copy nothing but the URI itself."""
    (into / "uri.txt").write_text(event.uri or "")


def echo_stage() -> Stage[DatasetPublished, EchoSpec, EchoResult]:
    """The stage."""
    return Stage(
        name="ingest",
        consumes=DatasetPublished,
        revision=1,
        spec=EchoSpec,
        result=EchoResult,
        outputs={"dataset": "dataset", "recipe": "recipe"},
        plan=plan_echo,
        work=echo,
        join=join_echo,
        preload=("tidemill.testing.stages",),
        snapshot=snapshot_echo,
    )


class CopySpec(Frozen):
    """Copy the dataset as it is."""

    name: str


class CopyResult(Frozen):
    """How many files were copied."""

    files: int


def plan_copy(event: DatasetIngested, recipe: Recipe) -> Sequence[Job[CopySpec]]:
    """One job."""
    return [Job(CopySpec(name=event.name), inputs={"dataset": event.dataset})]


def copy(spec: CopySpec, inputs: Inputs, output: Path, report: ProgressReport) -> CopyResult:
    """Copy the dataset."""
    shutil.copytree(inputs["dataset"], output / "dataset", copy_function=shutil.copyfile)
    return CopyResult(files=len(list((output / "dataset").iterdir())))


def join_copy(event: DatasetIngested, recipe: Recipe, results: Sequence[JobResult[CopyResult]]) -> DatasetPrepared:
    """The copy is the prepared dataset."""
    return DatasetPrepared(
        project=event.project,
        run_id=event.run_id,
        name=event.name,
        recipe=event.recipe,
        ingested=event.dataset,
        dataset=results[0].artifacts["dataset"],
        task=event.task,
        parts=event.parts,
        labels=[],
    )


def copy_stage() -> Stage[DatasetIngested, CopySpec, CopyResult]:
    """The stage behind ``echo_stage``."""
    return Stage(
        name="preprocess",
        consumes=DatasetIngested,
        revision=1,
        spec=CopySpec,
        result=CopyResult,
        outputs={"dataset": "dataset"},
        plan=plan_copy,
        work=copy,
        join=join_copy,
        preload=("tidemill.testing.stages",),
    )


def _slowly(steps: int, inputs: Inputs, output: Path, report: ProgressReport) -> None:
    """Steps of a tenth of a second, with a checkpoint when told to stop; resumes where it was."""
    first = int((inputs.checkpoint / "step").read_text()) if inputs.checkpoint else 0
    for step in range(first, steps):
        if report.stop_requested:
            folder = output / "checkpoint"
            folder.mkdir()
            (folder / "step").write_text(str(step))
            report.checkpoint(folder)
            raise HandedBack("the worker leaves")
        report.progress(step / steps, f"step {step}")
        time.sleep(0.1)
