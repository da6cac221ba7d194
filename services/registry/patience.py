"""How long a silent run is left alone: longer after every help, and longest while its stage has events to take.

An announcement is another message in the queue of a stage that may not come to its end: were runs announced again and
again through a long outage, the messages that wait would fill what a consumer may have in hand. Knows no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

EXCUSED = 10
"""Silences of ``after`` for which events in the queue of a stage excuse a run that was not helped yet."""
LONGEST_PAUSE = 60
"""Most silences of ``after`` between two announcements of the same fact."""


@dataclass
class Watch:
    """What was last seen of a run, since when (monotonic), and how often it was helped since then."""

    seen: tuple[object, ...]
    since: float
    helped: int = 0
    helped_at: float = 0.0

    def heard(self, at: float) -> None:
        """The run gave a sign of life."""
        if at > self.since:
            self.since, self.helped, self.helped_at = at, 0, 0.0

    def help_given(self, now: float) -> None:
        """It was announced again."""
        self.helped, self.helped_at = self.helped + 1, now

    def is_due(self, now: float, after: float, *, has_events: bool = False) -> bool:
        """Whether the run is to be helped; ``has_events``: its stage has events to take, one of them maybe its own."""
        if not self.helped:
            return now - self.since >= after * (EXCUSED if has_events else 1)
        silences = LONGEST_PAUSE if has_events else min(LONGEST_PAUSE, 2**self.helped - 1)
        return now - self.since >= after and now - self.helped_at >= after * silences
