"""What a service says about its stage: three plain functions and a few facts.

    plan(event, recipe)                       -> the jobs
    work(spec, inputs, output, report)        -> a result; files go under output/<name>/ for every declared output
    follow(event, recipe, rounds)             -> the jobs of the next round, for a stage that works in rounds
    join(event, recipe, results)              -> the stage's own event

All but ``work`` are pure, quick and run in the service; ``work`` runs in a child process and may be slow, crash, or be
killed. Everything that survives is done once, for all stages, in this package.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from tidemill.artifacts import ArtifactStore
from tidemill.contracts import (
    ArtifactKind,
    ArtifactRef,
    DatasetPublished,
    Recipe,
    ResourceClass,
    ResourceUsage,
    StageEvent,
    StageName,
)
from tidemill.jobs.report import Inputs, ProgressReport
from tidemill.records import RecordStore

E = TypeVar("E", bound="DatasetPublished | StageEvent")
S = TypeVar("S", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True)
class Job(Generic[S]):
    """One unit of a stage's work.

    ``spec`` and the digests of ``inputs`` are its fingerprint, so ``spec`` holds exactly what the result depends on:
    no run id, no time, no name that does not change the output.
    """

    spec: S
    inputs: Mapping[str, ArtifactRef] = field(default_factory=dict)
    resource_class: ResourceClass = "cpu"
    title: str = ""
    """Which of several jobs, for people: ``fold 2 of 5``."""
    steps: Sequence[BaseModel] = ()
    """What each of its steps depends on beside the inputs and the steps before it. The outcome of a step that is kept
    (``report.step``) is found again by every later job that begins with the same steps on the same inputs."""


@dataclass(frozen=True)
class JobResult(Generic[R]):
    """What a job left: its result, the artifacts of its outputs, what it used, and whether it came from the cache."""

    result: R
    artifacts: Mapping[str, ArtifactRef]
    usage: ResourceUsage
    cached: bool


@dataclass(frozen=True)
class Stage(Generic[E, S, R]):
    """A stage: which event it takes, and its three functions."""

    name: StageName
    consumes: type[E]
    revision: int
    """Raised when the output for the same inputs changes: it is part of every fingerprint."""
    spec: type[S]
    result: type[R]
    outputs: Mapping[str, ArtifactKind]
    """Sub-directories of ``output`` that ``work`` fills, each stored as an artifact of that kind; a pattern
    (``shard-*``) stands for as many as there are."""
    plan: Callable[[E, Recipe], Sequence[Job[S]]]
    work: Callable[[S, Inputs, Path, ProgressReport], R]
    join: Callable[[E, Recipe, Sequence[JobResult[R]]], StageEvent]
    follow: Callable[[E, Recipe, Sequence[Sequence[JobResult[R]]]], Sequence[Job[S]]] | None = None
    """The jobs of the next round, from the results of the rounds so far; none: the stage is done. ``join`` then gets
    the results of all rounds in one sequence."""
    resolve: Callable[[E, Recipe, RecordStore, ArtifactStore], Awaitable[E]] | None = None
    """Looks up, before planning, what the event means by words such as "the version before", and fills it in. What it
    finds has to be the same whenever the same event is planned again, so it goes on record."""
    preload: Sequence[str] = ()
    """Modules with heavy imports that the forkserver loads before the first job."""
    hardware_matters: bool = False
    """Whether results depend on the machine (measured latencies do): the hardware class joins the fingerprint."""
    snapshot: Callable[[DatasetPublished, Path, ProgressReport], None] | None = None
    """Ingest only: copy what ``event.uri`` names into a directory, so that it gets a digest before planning."""
    resource_classes: Sequence[ResourceClass] = ("cpu",)
    """What this worker can do; a worker with a GPU takes ``cpu`` and ``gpu`` jobs."""
