"""The same frames on this machine and on a Ray cluster."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.preprocess import engine
from services.preprocess.engine import Engine
from tests.preprocess.conftest import contents, prepare_folder, write_ingested
from tests.preprocess.test_shards import TEXT, texts
from tidemill.errors import InvalidInput

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.full
def test_a_cluster_of_two_nodes_leaves_the_same_bytes(tmp_path: Path) -> None:
    write_ingested(tmp_path / "ingested", {"data": texts(3500)}, "text-classification", TEXT, shard_rows=1000)
    privacy = {"detect": ["email"], "treatment": "hash", "key": f"file:{tmp_path / 'key'}"}
    (tmp_path / "key").write_text("a key of thirty-two characters..")
    data = {**TEXT, "near_duplicates": {}, "augment": {"text": {"copies": 1}}}
    here = prepare_folder(tmp_path, "text-classification", data, privacy)
    local = contents(here.folder)
    shutil.rmtree(tmp_path / "output")
    recipe = {"data": {**data, "engine": "ray"}, "privacy": privacy}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    # Ray replaces a loopback address by the machine's own, unless it is told that there is no cluster beyond it.
    loopback = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.preprocess.on_cluster", str(tmp_path)], cwd=REPOSITORY, timeout=300,
        capture_output=True, text=True, check=False, env={**os.environ, **loopback},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.split()[-1] == "2"
    assert contents(tmp_path / "output" / "dataset") == local


def test_a_cluster_that_nobody_named_is_asked_for() -> None:
    with pytest.raises(InvalidInput, match=r"set TIDEMILL_PREPROCESS_RAY_ADDRESS"):
        Engine("ray")


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"pip install 'tidemill\[ray\]'"):
        Engine("ray", address="127.0.0.1:6379")


def test_names_of_files_are_no_patterns(tmp_path: Path) -> None:
    folder = tmp_path / "what [is] *this*?"
    write_ingested(tmp_path / "ingested", {"data": texts(3)}, "text-classification", TEXT)
    folder.mkdir()
    shutil.copy(tmp_path / "ingested" / "data" / "00000.parquet", folder / "00000.parquet")
    with Engine().compute(folder / "00000.parquet", lambda frame, before: (frame, before)) as made:
        assert sum(batch.num_rows for batch in made.batches) == 3


def test_loading_it_starts_no_thread_and_reports_to_nobody() -> None:
    program = (
        "import threading, services.preprocess.dataset\n"
        "from daft import scarf_telemetry\n"
        "print(threading.active_count(), scarf_telemetry.opted_out())\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DAFT_ANALYTICS_ENABLED"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "True"]
