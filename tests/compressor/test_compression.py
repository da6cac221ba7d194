"""The whole compression of a tiny model: every candidate, every runtime and every file is real."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.compressor import compression
from services.compressor.candidates import Candidate
from services.compressor.spec import CompressionResult, CompressionSpec
from services.compressor.stage import STAGE
from tidemill.contracts import ArtifactRef, ModelTrained, Recipe, ResourceUsage
from tidemill.contracts.recipe import Compression
from tidemill.errors import CorruptArtifact, HandedBack, PermanentError
from tidemill.jobs.report import Inputs, SilentReport
from tidemill.modelpack import ModelPackage
from tidemill.modelpack.runtime import open_session
from tidemill.stage.definition import JobResult
from tidemill.tasks.text_classification.serving import TextEncoder, predictions

VARIANTS = ["torch-fp32", "onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-int8"]


@dataclass(frozen=True)
class Done:
    result: CompressionResult
    package: ModelPackage
    messages: list[str]


class Listener(SilentReport):
    """Remembers what was said, and that the fraction never falls."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.fractions: list[float] = []

    def progress(self, fraction: float | None, message: str = "", metrics: object = None) -> None:
        self.fractions.append(fraction or 0.0)
        self.messages.append(message)


@pytest.fixture(scope="module")
def done(trained: ModelPackage, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    output, report = tmp_path_factory.mktemp("output"), Listener()
    event = trained_event()
    [job] = STAGE.plan(event, Recipe(compression=Compression(calibration_examples=40)))
    result = STAGE.work(job.spec, Inputs({"model": trained.directory, "dataset": dataset}), output, report)
    assert report.fractions == sorted(report.fractions)
    assert [path.name for path in output.iterdir()] == ["model"]
    return Done(result, ModelPackage.open(output / "model"), report.messages)


def trained_event() -> ModelTrained:
    evaluation = {"part": "test", "examples": 60, "metrics": {"accuracy": 0.9}}
    return ModelTrained.model_validate(
        {
            "run_id": "run-1",
            "name": "topics",
            "recipe": {"digest": "sha256:" + "c" * 64, "kind": "recipe", "size_bytes": 10},
            "dataset": {"digest": "sha256:" + "d" * 64, "kind": "dataset", "size_bytes": 10},
            "model": {"digest": "sha256:" + "a" * 64, "kind": "model", "size_bytes": 10},
            "task": "text-classification",
            "evaluation": evaluation,
            "validation": evaluation | {"part": "validation"},
        }
    )


def test_every_candidate_is_made_measured_and_kept_beside_the_original(done: Done) -> None:
    assert [figures.variant for figures in done.result.variants] == VARIANTS
    assert done.result.failed == {}
    assert set(done.package.variants) == set(VARIANTS)
    done.package.verify()
    assert done.package.metrics.variants == done.result.variants
    for figures in done.result.variants:
        assert figures.size_bytes == done.package.variants[figures.variant].size_bytes
        assert 0 < figures.p50_ms <= figures.p95_ms
        assert figures.throughput > 0
        assert figures.threads == 1
        assert figures.metrics["accuracy"] > 0.9


def test_int8_covers_the_embeddings_too(done: Done) -> None:
    sizes = {figures.variant: figures.size_bytes for figures in done.result.variants}
    assert sizes["onnx-fp32"] > 2.5 * sizes["onnx-int8"]
    model = onnx.load(done.package.entry("onnx-int8"))
    wide = [tensor.name for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    assert not [name for name in wide if name.endswith("embeddings.weight")]


def test_the_chosen_variant_serves_and_the_test_part_is_reported(done: Done) -> None:
    chosen = done.result.chosen
    assert done.package.signature.serving_variant == chosen
    assert chosen in done.result.reason
    by_name = {figures.variant: figures for figures in done.result.variants}
    assert done.result.original == by_name["torch-fp32"]
    assert by_name[chosen].test_metrics == done.result.evaluation.metrics == done.package.metrics.test.metrics
    for name in {chosen, "onnx-int8", "openvino-int8"}:
        assert by_name[name].agreement is not None
        assert by_name[name].agreement > 0.9
        low, high = by_name[name].accuracy_difference_ci95 or (1.0, 0.0)
        assert low <= high
    assert by_name["torch-fp32"].test_metrics["accuracy"] > 0.9


def test_lineage_and_card_tell_where_it_comes_from(done: Done, trained: ModelPackage) -> None:
    assert done.package.lineage.trained == trained_event().model
    assert done.package.lineage.dataset == trained.lineage.dataset
    assert done.package.signature.tokenization == trained.signature.tokenization, "it is served as it was trained"
    assert done.package.lineage.recipe["compression"]["quality_budget"] == 0.01
    card = (done.package.directory / "README.md").read_text(encoding="utf-8")
    assert all(name in card for name in VARIANTS)
    assert f"{done.result.chosen} serves: " in card


def test_all_variants_answer_alike_for_any_batch_and_length(done: Done) -> None:
    package = done.package
    assert package.signature.tokenization is not None
    encoder = TextEncoder(package.directory / package.signature.tokenization.file, package.signature.tokenization)
    for texts in (["请问 我 的 信用卡 余额"], ["storm today", "护照 行李 hotel", ""], ["退款 " * 100] * 5):
        answers = {}
        for name in VARIANTS[1:]:
            session = open_session(package.variant_dir(name), package.variants[name])
            answers[name] = session.run(encoder(texts))
            assert answers[name].dtype == np.float32
            assert answers[name].shape == (len(texts), 3)
        assert np.allclose(answers["onnx-fp32"], answers["openvino-fp32"], atol=1e-4)
        said = [[one["label"] for one in predictions(logits, package.signature.labels)] for logits in answers.values()]
        assert [labels[0] for labels in said] == [said[0][0]] * 4
    assert said[0][0] == "银行"


def test_the_export_holds_no_path_of_this_machine(done: Done) -> None:
    for name in ("onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-int8"):
        graph = done.package.entry(name).read_bytes()
        assert sys.prefix.encode() not in graph
        assert str(Path.cwd()).encode() not in graph


def test_progress_says_what_happens(done: Done) -> None:
    said = "\n".join(done.messages)
    assert "exporting onnx-fp32" in said
    assert "calibrating openvino-int8: 100%" in said
    assert "timing 5 variants in turns, 32 tokens, 1 thread each" in said
    assert done.messages[-1] == done.result.reason


def test_join_announces_the_chosen_one_beside_the_original(done: Done) -> None:
    model = ArtifactRef(digest="sha256:" + "e" * 64, kind="model", size_bytes=5)
    usage = ResourceUsage(cpu_seconds=3)
    result = JobResult(result=done.result, artifacts={"model": model}, usage=usage, cached=False)
    event = STAGE.join(trained_event(), Recipe(), [result])
    announced = event.model_dump()
    assert announced["model"] == model.model_dump()
    assert announced["trained"] == trained_event().model.model_dump()
    assert announced["compressed"]["variant"] == done.result.chosen
    assert announced["original"]["variant"] == "torch-fp32"
    assert announced["usage"]["cpu_seconds"] == 3
    assert announced["reason"] == done.result.reason


def test_a_candidate_that_cannot_be_made_costs_only_itself(
    done: Done,
    trained: ModelPackage,
    dataset: Path,
    spec: CompressionSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def exported_before(network: object, signature: object, folder: Path, *rest: object) -> Candidate:
        shutil.copytree(done.package.variant_dir("onnx-fp32"), folder / "onnx-fp32")
        (folder / "onnx-fp32" / "variant.json").unlink()
        return Candidate("onnx-fp32", folder / "onnx-fp32")

    monkeypatch.setattr(compression, "make_export", exported_before)  # a second export would take the longest
    monkeypatch.setattr(compression, "make_candidate", _refuse)
    spec = spec.model_copy(update={"compression": Compression(candidates=["onnx-int8"])})
    result = compress(spec, trained.directory, dataset, tmp_path)
    assert result.failed == {"onnx-int8": "no kernel for this graph"}
    assert [figures.variant for figures in result.variants] == ["torch-fp32", "onnx-fp32"]
    assert result.chosen == "onnx-fp32"
    assert set(ModelPackage.open(tmp_path / "model").variants) == {"torch-fp32", "onnx-fp32"}


def test_a_changed_byte_of_the_trained_model_is_named(
    trained: ModelPackage, dataset: Path, spec: CompressionSpec, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained.directory, copy)
    weights = copy / "variants" / "torch-fp32" / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    with pytest.raises(CorruptArtifact, match=r"variants/torch-fp32/model\.safetensors"):
        compress(spec, copy, dataset, tmp_path / "output")


def test_a_dataset_that_is_not_the_models_is_refused(
    trained: ModelPackage, dataset: Path, spec: CompressionSpec, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(dataset, other)
    pq.write_table(pa.table({"text": ["what?"], "label": ["未知"]}), other / "validation" / "00000.parquet")
    with pytest.raises(PermanentError, match=r"validation, row 0: the model does not have the label '未知'"):
        compress(spec, trained.directory, other, tmp_path / "output")
    (other / "test" / "00000.parquet").write_bytes(b"not parquet")
    shutil.copy(dataset / "validation" / "00000.parquet", other / "validation")
    with pytest.raises(CorruptArtifact, match=r"test/00000\.parquet cannot be read"):
        compress(spec, trained.directory, other, tmp_path / "output")


def test_a_worker_that_leaves_hands_the_job_back(
    trained: ModelPackage, dataset: Path, spec: CompressionSpec, tmp_path: Path
) -> None:
    class Leaving(SilentReport):
        stop_requested = True

    with pytest.raises(HandedBack):
        compression.compress(spec, trained.directory, dataset, tmp_path / "model", Leaving(), revision=1)
    assert list(tmp_path.iterdir()) == []


def test_the_service_starts_without_the_heavy_libraries() -> None:
    heavy = ["torch", "transformers", "onnx", "onnxruntime", "openvino", "nncf", "pyarrow"]
    code = f"import sys; import services.compressor.stage; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def compress(spec: CompressionSpec, model: Path, dataset: Path, output: Path) -> CompressionResult:
    return compression.compress(spec, model, dataset, output / "model", SilentReport(), revision=1)


def _refuse(*arguments: object) -> object:
    raise RuntimeError("no kernel for this graph\nand a long story")
