"""A trainer that is killed in mid-epoch: another takes over from the last checkpoint, and the curve is unbroken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.resume import STEPS, killed_and_twin, report


@pytest.mark.full
async def test_a_killed_training_loses_the_steps_since_its_last_checkpoint_and_no_more(tmp_path: Path) -> None:
    figures = await killed_and_twin(tmp_path)
    report(figures)
    assert figures.first_step_again == figures.step_of_checkpoint + 1, "it goes on from the last checkpoint"
    assert 0 < figures.steps_redone <= figures.step_when_killed - figures.step_of_checkpoint
    assert [point.step for point in figures.killed] == list(range(1, STEPS + 1)), "no gap, no step twice"
    assert figures.difference < 1e-4
    assert figures.same_result
