"""Writes streams of bytes into files: bounded in size, reporting progress. Knows nothing of where bytes come from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from services.ingest.sources.policy import SourcePolicy
from tidemill.errors import HandedBack
from tidemill.jobs.report import ProgressReport


class Transfer:
    """The copying of one dataset: counts its bytes against the policy's limit over all files."""

    def __init__(self, policy: SourcePolicy, report: ProgressReport, what: str) -> None:
        self._policy = policy
        self._report = report
        self._what = what
        self._written = 0
        self._expected: int | None = None

    def expect(self, total: int | None) -> None:
        """Announce the size in bytes of what is to come, if it is known. Raises InvalidInput when it is too large."""
        if total is not None:
            self._expected = self._written + total
            self._policy.check_size(self._expected, self._what)

    def write(self, target: Path, chunks: Iterable[bytes]) -> None:
        """Write ``chunks`` to ``target``.

        Raises:
            InvalidInput: there is more than the policy allows.
            HandedBack: the worker wants to leave.
        """
        with target.open("wb") as file:
            for chunk in chunks:
                self._written += len(chunk)
                self._policy.check_size(self._written, self._what)
                file.write(chunk)
                if self._report.stop_requested:
                    raise HandedBack("the worker is leaving in the middle of a download")
                fraction = min(1.0, self._written / self._expected) if self._expected else None
                self._report.progress(fraction, f"{self._written / 1e6:,.1f} MB read")
