"""Writes streams of bytes into files: bounded in size and number, reporting progress. Knows nothing of where bytes come
from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from services.ingest.sources.policy import SourcePolicy
from tidemill.errors import HandedBack
from tidemill.jobs.report import ProgressReport


class Transfer:
    """The copying of one dataset: counts its bytes and files against the policy's limits."""

    def __init__(self, policy: SourcePolicy, report: ProgressReport, what: str) -> None:
        self._policy = policy
        self._report = report
        self._what = what
        self._written = 0
        self._expected: int | None = None
        self._files = 0
        self._said = ""

    def expect(self, total: int | None) -> None:
        """Announce the size in bytes of what is to come, if it is known. Raises InvalidInput when it is too large."""
        if total is not None:
            self._expected = self._written + total
            self._policy.check_size(self._expected, self._what)

    def expect_files(self, number: int) -> None:
        """Announce how many files are to come, or have been seen so far. Raises InvalidInput when they are too many."""
        self._policy.check_files(number, self._what)

    def say(self, text: str) -> None:
        """What a person is to know beside the figures: the commit that is read, what is left out."""
        self._said = f"; {text}"
        self._report.progress(None, text)

    def write(self, target: Path, chunks: Iterable[bytes]) -> None:
        """Write ``chunks`` to ``target``; its folder is made.

        Raises:
            InvalidInput: there is more than the policy allows.
            HandedBack: the worker wants to leave.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for chunk in chunks:
                # Counted first: what is too much is not written.
                self.count(len(chunk))
                file.write(chunk)
        self._files += 1

    @property
    def stop_requested(self) -> bool:
        """Whether the worker wants to leave."""
        return self._report.stop_requested

    def count(self, number: int) -> None:
        """``number`` bytes were read. Raises as ``write``."""
        self._written += number
        self._policy.check_size(self._written, self._what)
        if self.stop_requested:
            raise HandedBack("the worker is leaving in the middle of a download")
        fraction = min(1.0, self._written / self._expected) if self._expected else None
        files = f" in {self._files:,} files" if self._files > 1 else ""
        self._report.progress(fraction, f"{self._written / 1e6:,.1f} MB read{files}{self._said}")
