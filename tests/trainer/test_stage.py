"""The trainer's plan and join: which jobs an event asks for, and what is announced."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from services.trainer import pretrained
from services.trainer.examples import hold_out, read_dataset, stratified_groups
from services.trainer.spec import EpochFigures, Fold, TrainingResult
from services.trainer.stage import join, plan
from tidemill.contracts import ArtifactRef, DatasetPrepared, EvaluationSummary, Recipe, ResourceUsage
from tidemill.contracts.recipe import parse_recipe
from tidemill.errors import InvalidInput, TransientError
from tidemill.stage.definition import JobResult
from tidemill.texts import TextPreparation

Prepared = Callable[..., DatasetPrepared]


def _result(accuracy: float, part: str = "test", *, model: bool = True) -> JobResult[TrainingResult]:
    summary = EvaluationSummary(part=part, examples=10, metrics={"accuracy": accuracy})
    result = TrainingResult(
        evaluation=summary,
        validation=summary.model_copy(update={"part": "validation"}),
        epochs=[EpochFigures(epoch=1, metrics={"accuracy": accuracy})],
        losses=[],
        steps=10,
        best_epoch=1,
        precision="fp32",
        device="cpu",
    )
    reference = ArtifactRef(digest="sha256:" + "e" * 64, kind="model", size_bytes=5)
    return JobResult(result, {"model": reference} if model else {}, ResourceUsage(wall_seconds=2), cached=False)


def test_a_plain_run_is_one_job(prepared: Prepared) -> None:
    (job,) = plan(prepared(), Recipe())
    assert job.title == ""
    assert job.resource_class == "cpu"
    assert job.inputs == {"dataset": prepared().dataset}
    assert job.spec.base is not None
    assert job.spec.base.name == "minilm"
    assert job.spec.base.digest == pretrained.folder_digest(pretrained.local_folder("minilm") or Path())
    (gpu,) = plan(prepared(), parse_recipe({"training": {"accelerator": "gpu"}}))
    assert gpu.resource_class == "gpu"
    assert gpu.spec == job.spec, "where it runs does not change the fingerprint"


def test_the_rules_for_texts_go_to_the_job_and_leave_other_fingerprints_alone(prepared: Prepared) -> None:
    (job,) = plan(prepared(), Recipe())
    assert job.spec.model_dump(mode="json").keys() == {
        "task", "dataset", "base", "from_scratch", "max_length", "normalize", "goal", "training", "fold",
    }  # fmt: skip
    rules = {"strip_html": True, "lowercase": True, "remove_stop_words": ["zh", "en", "zh"]}
    (job,) = plan(prepared(), parse_recipe({"data": {"normalize": False, "text_rules": rules}}))
    found = {name: job.spec.model_dump(mode="json")[name] for name in TextPreparation.model_fields}
    assert found == {"strip_html": True, "normalize": False, "lowercase": True, "stop_words": ["en", "zh"]}


def test_folds_are_jobs_beside_the_model(prepared: Prepared) -> None:
    jobs = plan(prepared(), parse_recipe({"evaluation": {"folds": 5}}))
    assert [job.title for job in jobs] == ["model", *(f"fold {index} of 5" for index in range(1, 6))]
    assert jobs[0].spec.fold is None
    assert [job.spec.fold for job in jobs[1:]] == [Fold(index=index, of=5) for index in range(1, 6)]
    with pytest.raises(InvalidInput, match=r"evaluation\.folds is 20"):
        plan(prepared(parts={"train": 20, "validation": 4, "test": 4}), parse_recipe({"evaluation": {"folds": 20}}))
    with pytest.raises(InvalidInput, match="test part is empty"):
        plan(prepared(parts={"train": 20, "validation": 4}), Recipe())


def test_join_announces_the_model_with_the_folds_beside_it(prepared: Prepared) -> None:
    folds = [_result(value, f"fold {index}", model=False) for index, value in enumerate((0.8, 0.9), start=1)]
    event = join(prepared(), Recipe(), [folds[0], _result(0.95), folds[1]])
    assert event.evaluation.metrics == {"accuracy": 0.95}
    assert event.cross_validation is not None
    assert event.cross_validation.folds == [{"accuracy": 0.8}, {"accuracy": 0.9}]
    assert event.cross_validation.mean["accuracy"] == pytest.approx(0.85)
    assert event.cross_validation.std["accuracy"] == pytest.approx(np.std([0.8, 0.9], ddof=1))
    assert event.usage.wall_seconds == 6
    assert join(prepared(), Recipe(), [_result(0.95)]).cross_validation is None


def test_folds_cover_everything_once_and_keep_the_shares_of_the_labels(dataset: Path) -> None:
    prepared = read_dataset(dataset)
    folds = [hold_out(prepared, Fold(index=index, of=5), seed=17) for index in range(1, 6)]
    held_out = [text for fold in folds for text in fold.test.texts]
    assert sorted(held_out) == sorted(prepared.train.texts + prepared.validation.texts)
    for fold in folds:
        assert sum(fold.sizes.values()) == 300
        assert np.bincount(fold.test.labels).tolist() == [30, 30]
        assert len(fold.validation) == 48
    assert hold_out(prepared, Fold(index=1, of=5), seed=17).test.texts == folds[0].test.texts


def test_a_rare_label_is_spread_over_the_groups() -> None:
    labels = np.array([0] * 50 + [1] * 3)
    groups = stratified_groups(labels, 3, seed=1)
    assert sorted(groups[labels == 1].tolist()) == [0, 1, 2]


def test_the_digest_of_a_folder_follows_its_content(tmp_path: Path) -> None:
    def folder(name: str, weights: bytes) -> Path:
        made = tmp_path / name
        made.mkdir()
        (made / "config.json").write_text("{}")
        (made / "model.safetensors").write_bytes(weights)
        return made

    first, second = folder("one", b"w"), folder("two", b"w")
    base = pretrained.resolve(str(first))
    assert base.digest == pretrained.resolve(str(second)).digest
    assert pretrained.obtain(base) == first.resolve()
    (first / "model.safetensors").write_bytes(b"other")
    with pytest.raises(InvalidInput, match="changed since the run began"):
        pretrained.obtain(base)


def test_folders_that_hold_no_safe_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such folder"):
        pretrained.resolve(str(tmp_path / "nowhere"))
    with pytest.raises(InvalidInput, match=r"no config\.json"):
        pretrained.resolve(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(InvalidInput, match=r"no \.safetensors weights"):
        pretrained.resolve(str(tmp_path))
    shutil.rmtree(tmp_path)


class TestHub:
    """Its answers are told apart; the hub itself is out of reach of a test."""

    @pytest.fixture(autouse=True)
    def _no_cache(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    @pytest.mark.parametrize("name", ["no such model", "a/b/c", "--"])
    def test_a_name_that_cannot_be_one(self, name: str) -> None:
        with pytest.raises(InvalidInput, match=r"model\.base"):
            pretrained.resolve(name)

    def test_without_a_network_the_message_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(HfApi, "model_info", _raise(ConnectionError("Name or service not known")))
        with pytest.raises(InvalidInput, match=r"cannot be reached from here.*minilm"):
            pretrained.resolve("bert-base-uncased")

    def test_a_hub_in_trouble_is_worth_another_try(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Answer:
            status_code = 503
            headers: dict[str, str] = {}  # noqa: RUF012
            request = None

        monkeypatch.setattr(HfApi, "model_info", _raise(HfHubHTTPError("503", response=Answer())))
        with pytest.raises(TransientError, match="answers with an error"):
            pretrained.resolve("bert-base-uncased")


def test_planning_imports_nothing_heavy() -> None:
    script = (
        "import json, sys, services.trainer.stage, services.trainer.settings\n"
        "heavy = {'torch', 'transformers', 'pyarrow', 'sklearn', 'tokenizers', 'safetensors'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == []


def _raise(error: Exception) -> Callable[..., None]:
    def raising(*_: object, **__: object) -> None:
        raise error

    return raising
