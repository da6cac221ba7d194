"""What a child process does for an erasure: looking through files, and rewriting a dataset. Knows no store.

The value comes to the child over its pipe, so it is in no list of processes. What reads tables is imported in the child
alone: those who ask need none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from tidemill.contracts import Frozen
from tidemill.contracts.erasures import SubjectKind
from tidemill.erasure.subject import matcher
from tidemill.errors import HandedBack
from tidemill.jobs.report import ProgressReport


class Subject(Frozen):
    """Whose data is looked for."""

    value: str = Field(repr=False)
    kind: SubjectKind = "any"


class FoundFile(Frozen):
    """What is known of the bytes of a file."""

    held: bool = False
    rows: int = 0
    unsearched: list[str] = Field(default_factory=list)


class Rewritten(Frozen):
    """A dataset without the rows of somebody."""

    erased: int
    left: dict[str, int]
    """Rows by part."""


def search(subject: Subject, files: Mapping[str, Path], report: ProgressReport) -> dict[str, FoundFile]:
    """Look through ``files``, each given under a name for its bytes.

    Raises:
        HandedBack: the service wants to leave.
    """
    from tidemill.erasure.files import search_file

    known = matcher(subject.value, subject.kind)
    found = {}
    for done, (content, path) in enumerate(files.items(), 1):
        one = search_file(path, known)
        found[content] = FoundFile(held=one.held, rows=one.rows, unsearched=sorted(one.unsearched))
        report.progress(done / len(files))
        if report.stop_requested:
            raise HandedBack("the service is leaving in the middle of a search")
    return found


def rewrite_dataset(
    subject: Subject, dataset: Path, shard_rows: int, output: Path, report: ProgressReport
) -> Rewritten:
    """Write ``dataset`` to ``output`` without the rows that hold the value; see ``rewriting``."""
    from tidemill.erasure.rewriting import rewrite

    erased, left = rewrite(dataset, matcher(subject.value, subject.kind), output, report, shard_rows=shard_rows)
    return Rewritten(erased=erased, left=left)
