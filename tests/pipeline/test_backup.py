"""The whole platform backed up in mid-run, restored into an empty folder, started there: the same, and its run ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.conftest import TINY, Whole, reviews, start, stop, write_csv
from tests.pipeline.test_faults import SLOWER, running_stage, wait_until, when_back

TEXTS = ["great superb kettle", "糟糕 讨厌 水壶", "lovely box", "a broken cable"]


@pytest.mark.full
def test_backup_in_mid_run_and_restore_into_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_REGISTRY_RECONCILE_AFTER", "PT2S")
    backup, old = tmp_path / "备份", start(tmp_path / "old")
    try:
        good = write_csv(tmp_path / "good.csv", reviews(seed=31))
        finished = old.client.publish(good, name="reviews", recipe=TINY).wait(timeout=240)
        assert finished.state == "finished", finished.error
        bad = write_csv(tmp_path / "bad.csv", [("only", ""), ("one", "")])
        failed = old.client.publish(bad, name="bad", recipe=TINY).wait(timeout=60)
        assert failed.state == "failed"
        again = write_csv(tmp_path / "again.csv", reviews(seed=32))
        run_id = old.client.publish(again, name="reviews", recipe=SLOWER).run_id
        wait_until(old, run_id, lambda view: running_stage(view) == "train")
        made = old.document("backup", str(backup))
        assert (made["runs"], made["damages"]) == (3, [])
        before = seen(old, finished.run_id, failed.run_id)
    finally:
        stop(old)
    new = tmp_path / "new"
    restored = old.document("restore", str(backup), "--data-dir", str(new))
    assert (restored["runs"], restored["damages"]) == (3, [])
    moved = start(new)
    try:
        assert when_back(lambda: seen(moved, finished.run_id, failed.run_id), seconds=60) == before
        view = moved.client.run(run_id).wait(timeout=240)
        assert view.state == "finished", view.error
        assert view.version == 2
        replayed = moved.client.dead_letters()[0].id
        moved.cli("dead", "replay", replayed)
        wait_until(moved, failed.run_id, lambda view: view.state == "failed" and view.run_id == failed.run_id)
    finally:
        stop(moved)


def seen(whole: Whole, *run_ids: str) -> dict[str, Any]:
    """What a person sees: runs that ended, the champion and what it says, the dead letters."""
    return {
        "runs": [whole.client.run(run_id).show().model_dump(mode="json") for run_id in run_ids],
        "champion": whole.client.model("reviews").aliases["champion"],
        "answers": whole.client.predict("reviews", TEXTS)["predictions"],
        "letters": [letter.model_dump(mode="json") for letter in whole.client.dead_letters()],
    }
