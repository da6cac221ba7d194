"""The command against a real HTTP server: exit codes, the one JSON document, sentences instead of tracebacks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tidemill.cli import main
from tidemill.testing.gateway import ScriptedGateway, finished_view, progress, run_view

FAILED = run_view(
    "failed", error='row 3, column "label": empty; fill it in', error_stage="ingest", ended_at="2026-11-01T12:00:05Z"
)


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with ScriptedGateway().running() as gateway:
        yield gateway


@pytest.fixture
def tidemill(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.setenv("TIDEMILL_DATA_DIR", str(tmp_path / "platform"))
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["tidemill", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else int(bool(code)), captured.out, captured.err)

    return call


@pytest.fixture
def reviews(tmp_path: Path) -> str:
    path = tmp_path / "reviews.csv"
    path.write_text("text,label\nbad,neg\ngood,pos\n")
    return str(path)


def test_publish_and_wait_gives_scripts_one_document(gateway: ScriptedGateway, tidemill: Command, reviews: str) -> None:
    gateway.streams = [[("run", run_view()), progress("train", 0.5), ("run", finished_view())]]
    done = tidemill("publish", reviews, "--set", "training.epochs=2", "--wait", "--json", "--url", gateway.url)
    assert done.code == 0
    document = done.document
    assert (document["run_id"], document["state"], document["model"], document["version"]) == (
        "run-1", "finished", "reviews", 3,
    )  # fmt: skip
    assert document["endpoint"] == f"{gateway.url}/v1/models/reviews:predict"
    assert document["metrics"] == {"accuracy": 0.93, "macro_f1": 0.92}
    for variant in ("original", "compressed"):
        assert document[variant].keys() >= {"size_bytes", "p50_ms", "throughput", "metrics"}
    assert document["original"]["metrics"]["accuracy"] == 0.93
    assert [(stage["name"], stage["cached"]) for stage in document["stages"]][:2] == [
        ("ingest", True), ("preprocess", False),
    ]  # fmt: skip
    assert json.loads(gateway.published[0]["recipe"]) == {"training": {"epochs": 2}}
    assert "train" in done.err


def test_publish_and_wait_tells_a_person_what_they_want_to_know(
    gateway: ScriptedGateway, tidemill: Command, reviews: str
) -> None:
    gateway.streams = [[("run", run_view()), ("run", finished_view())]]
    done = tidemill("publish", reviews, "--wait", "--url", gateway.url)
    assert done.code == 0
    for said in ("accuracy 0.930", "macro F1 0.920", "4.0× smaller", "4.0× faster", "from cache", "curl", "champion"):
        assert said in done.out, said


@pytest.mark.parametrize("as_json", [True, False])
def test_a_failed_run_is_exit_code_1_with_its_reason(
    gateway: ScriptedGateway, tidemill: Command, reviews: str, as_json: bool
) -> None:
    gateway.streams = [[("run", run_view()), ("run", FAILED)]]
    done = tidemill("publish", reviews, "--wait", "--url", gateway.url, *(["--json"] if as_json else []))
    assert done.code == 1
    if as_json:
        assert (done.document["state"], done.document["endpoint"]) == ("failed", None)
        assert done.document["error"] == FAILED["error"]
    else:
        assert 'row 3, column "label"' in done.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "training.epoch=2"], "did you mean 'epochs'"),
        (["--set", "epochs"], "give a key and a value"),
        (["--recipe", "no-such.yaml"], "no-such.yaml cannot be read"),
        (["--name", "a/b"], "not a usable name"),
        (["--no-such-option"], "No such option"),
    ],
)
def test_called_wrongly_is_exit_code_2_and_nothing_is_sent(
    gateway: ScriptedGateway, tidemill: Command, reviews: str, arguments: list[str], sentence: str
) -> None:
    done = tidemill("publish", reviews, "--url", gateway.url, *arguments)
    assert done.code == 2
    assert sentence in done.err
    assert gateway.published == []


def test_a_recipe_file_and_changes_are_merged(
    gateway: ScriptedGateway, tidemill: Command, reviews: str, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("data: {columns: [label, 文本], text: 文本}\ntraining: {epochs: 5, seed: 3}\n", encoding="utf-8")
    arguments = ("--recipe", str(recipe), "--set", "training.epochs=1", "--set", "promotion.minimum={accuracy: 0.9}")
    done = tidemill("publish", reviews, *arguments, "--json", "--url", gateway.url)
    assert (done.code, done.document["run_id"]) == (0, "run-1")
    assert json.loads(gateway.published[0]["recipe"]) == {
        "data": {"columns": ["label", "文本"], "text": "文本"},
        "training": {"epochs": 1, "seed": 3},
        "promotion": {"minimum": {"accuracy": 0.9}},
    }


def test_files_are_published_with_what_is_known_of_them(
    gateway: ScriptedGateway, tidemill: Command, reviews: str, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    (images / "cat").mkdir(parents=True)
    (images / "cat" / "1.png").write_bytes(b"x" * (9 << 20))
    words = ("--append", "--licence", "CC-BY-4.0", "--owner", "UCI", "--name", "cats")
    done = tidemill("publish", reviews, str(images), *words, "--json", "--url", gateway.url)
    assert (done.code, done.document["model"]) == (0, "cats")
    (sent,) = gateway.published
    assert {name: len(content) for name, content in sent["files"].items()}["images/cat/1.png"] == 9 << 20
    assert (sent["append"], sent["licence"], sent["owner"]) == ("true", "CC-BY-4.0", "UCI")
    assert "uploading 9.4 of 9.4 MB" in done.err, "a long upload is told of"
    assert "uploading" not in tidemill("publish", reviews, "--json", "--url", gateway.url).err


def test_a_platform_that_is_not_up_is_exit_code_1_and_says_what_to_do(tidemill: Command) -> None:
    done = tidemill("runs", "list", "--json", "--url", "http://127.0.0.1:9")
    assert done.code == 1
    assert "tidemill up" in done.err
    assert "tidemill up" in done.document["error"]


def test_a_missing_file_and_a_missing_model_are_exit_code_1(gateway: ScriptedGateway, tidemill: Command) -> None:
    missing = tidemill("publish", "missing.csv", "--url", gateway.url)
    assert (missing.code, missing.err) == (1, "tidemill: missing.csv: no such file or folder\n")
    assert tidemill("predict", "nothing", "text", "--url", gateway.url).code == 1
    assert tidemill("runs", "show", "run-2", "--url", gateway.url).code == 1


def test_predict_asks_about_every_text(gateway: ScriptedGateway, tidemill: Command) -> None:
    done = tidemill("predict", "reviews", "[bold]never[/bold]", "再见", "--url", gateway.url)
    assert done.code == 0
    assert gateway.predictions == [["[bold]never[/bold]", "再见"]]
    assert "[bold]never[/bold]" in done.out
    assert done.out.count("好") == 2


def test_watch_cancel_and_retry(gateway: ScriptedGateway, tidemill: Command) -> None:
    gateway.streams = [[("run", FAILED)]]
    assert tidemill("runs", "watch", "run-1", "--url", gateway.url).code == 1
    assert tidemill("runs", "retry", "run-1", "--url", gateway.url, "--json").document["state"] == "running"
    gateway.streams = [[("run", run_view("cancelled"))]]
    assert tidemill("runs", "cancel", "run-1", "--url", gateway.url, "--json").document["state"] == "cancelled"
    assert gateway.commands == ["run-1:retry", "run-1:cancel"]
    assert gateway.bodies[0] in (b"", b"null")


def test_a_retry_with_another_budget(gateway: ScriptedGateway, tidemill: Command) -> None:
    gateway.view = gateway.view | {"state": "failed"}
    options = ("--max-cost", "2.5", "--max-wall-time", "2h", "--max-stage-time", "train=30m")
    assert tidemill("runs", "retry", "run-1", *options, "--url", gateway.url).code == 0
    assert json.loads(gateway.bodies[0]) == {
        "max_cost": 2.5, "max_wall_time": "PT2H", "max_stage_time": {"train": "PT30M"},
    }  # fmt: skip
    for wrong, code, words in (
        (("--max-stage-time", "train"), 2, "--max-stage-time train=30m"),
        (("--max-stage-time", "trainer=30m"), 1, "did you mean 'train'?"),
        (("--max-wall-time", "soon"), 1, "'soon' is not a duration"),
    ):
        refused = tidemill("runs", "retry", "run-1", *wrong, "--url", gateway.url)
        assert (refused.code, words in refused.err) == (code, True), refused
    assert len(gateway.commands) == 1


def test_a_run_says_what_it_used_and_cost(gateway: ScriptedGateway, tidemill: Command) -> None:
    usage = {"wall_seconds": 14, "cpu_seconds": 12, "peak_memory_bytes": 5e8, "attempts": 3}
    cost = {"total": 0.0013, "currency": "EUR", "lines": []}
    gateway.view = gateway.view | {"usage": usage, "cost": cost}
    line = "used 12 s of processor time, at most 500.0 MB of memory in 3 tries of jobs; cost 0.0013 EUR"
    assert line in tidemill("runs", "show", "run-1", "--url", gateway.url).out
    assert tidemill("runs", "show", "run-1", "--url", gateway.url, "--json").document["cost"] == cost
    gateway.streams = [[("run", gateway.view | {"state": "finished"})]]
    assert line in tidemill("runs", "watch", "run-1", "--url", gateway.url).out


def test_lists_show_people_and_scripts_the_same(gateway: ScriptedGateway, tidemill: Command) -> None:
    assert "run-1" in tidemill("runs", "list", "--url", gateway.url).out
    assert tidemill("runs", "list", "--url", gateway.url, "--json").document[0]["run_id"] == "run-1"
    assert tidemill("models", "list", "--url", gateway.url, "--json").document == []
    assert "no dead letters" in tidemill("dead", "list", "--url", gateway.url).out
    assert tidemill("status", "--url", gateway.url, "--json").document["runs_in_flight"] == 1


def test_without_a_platform_status_and_down_say_so(tidemill: Command) -> None:
    status = tidemill("status", "--json")
    assert (status.code, status.document["state"]) == (1, "stopped")
    down = tidemill("down")
    assert down.code == 0
    assert "no platform runs" in down.out


def test_help_loads_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys; from tidemill.cli.app import app\n"
        "print([name for name in ('httpx', 'nats', 'numpy', 'yaml', 'tidemill.contracts') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
