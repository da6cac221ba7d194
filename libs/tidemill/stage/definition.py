"""What a service says about its stage: three plain functions and a few facts.

    plan(event, recipe)                       -> the jobs
    work(spec, inputs, output, report)        -> a result; files go under output/<name>/ for every declared output
    join(event, recipe, results)              -> the stage's own event

``plan`` and ``join`` are pure, quick and run in the service; ``work`` runs in a child process and may be slow,
crash, or be killed. Everything that survives is done once, for all stages, in this package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

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
    """Sub-directories of ``output`` that ``work`` fills, each stored as an artifact of that kind."""
    plan: Callable[[E, Recipe], Sequence[Job[S]]]
    work: Callable[[S, Inputs, Path, ProgressReport], R]
    join: Callable[[E, Recipe, Sequence[JobResult[R]]], StageEvent]
    preload: Sequence[str] = ()
    """Modules with heavy imports that the forkserver loads before the first job."""
    hardware_matters: bool = False
    """Whether results depend on the machine (measured latencies do): the hardware class joins the fingerprint."""
    snapshot: Callable[[DatasetPublished, Path, ProgressReport], None] | None = None
    """Ingest only: copy what ``event.uri`` names into a directory, so that it gets a digest before planning."""
    resource_classes: Sequence[ResourceClass] = ("cpu",)
    """What this worker can do; a worker with a GPU takes ``cpu`` and ``gpu`` jobs."""
