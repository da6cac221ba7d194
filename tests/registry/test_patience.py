"""How often a silent run is announced again, on a clock of the test's own."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from services.registry.patience import EXCUSED, LONGEST_PAUSE, Watch

AFTER = 60.0
HOUR = 3600.0


def test_the_pauses_double_up_to_an_hour() -> None:
    times = _helped(Watch(("stage",), 0.0), until=8 * HOUR, has_events=lambda _: False)
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[0] == AFTER
    assert pauses[:7] == [1 * AFTER, 3 * AFTER, 7 * AFTER, 15 * AFTER, 31 * AFTER, LONGEST_PAUSE * AFTER, HOUR]


def test_a_stage_that_does_not_come_to_its_events_for_days_gets_one_message_an_hour_for_each_run() -> None:
    times = _helped(Watch(("stage",), 0.0), until=72 * HOUR, has_events=lambda _: True)
    assert times[0] == EXCUSED * AFTER
    assert len(times) == 72


def test_once_the_queue_is_empty_a_run_is_helped_as_soon_as_before() -> None:
    taken = 20 * AFTER
    times = _helped(Watch(("stage",), 0.0), until=HOUR, has_events=lambda now: now < taken)
    assert times[:3] == [EXCUSED * AFTER, taken, taken + 3 * AFTER]


def test_a_sign_of_life_begins_the_silence_anew() -> None:
    watch = Watch(("stage",), 0.0)
    watch.help_given(AFTER)
    watch.help_given(2 * AFTER)
    watch.heard(3 * AFTER)
    assert not watch.is_due(3.9 * AFTER, AFTER)
    assert watch.is_due(4 * AFTER, AFTER)
    watch.heard(1.0)  # older than what was seen
    assert watch.is_due(4 * AFTER, AFTER)


def _helped(watch: Watch, *, until: float, has_events: Callable[[float], bool]) -> list[float]:
    """When the run is helped, looked at every five seconds."""
    times = []
    now = 0.0
    while now <= until:
        if watch.is_due(now, AFTER, has_events=has_events(now)):
            watch.help_given(now)
            times.append(now)
        now += 5.0
    return times
