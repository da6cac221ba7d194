"""A model package at its edge: what is written is read back, and nothing damaged or unsafe is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tidemill.contracts import ArtifactRef, ClassMetrics, EvaluationSummary, FoldSummary, VariantFigures
from tidemill.errors import CorruptArtifact, InvalidInput, NotFound, PermanentError
from tidemill.modelpack import Lineage, Metrics, ModelPackage, PackageWriter, Signature, Tensor, Tokenization

LABELS = ["好评", "差评|中"]


def _evaluation(part: str) -> EvaluationSummary:
    return EvaluationSummary(
        part=part,
        examples=8,
        metrics={"accuracy": 0.875, "macro_f1": 0.86, "loss": 0.3},
        classes=[ClassMetrics(label=label, precision=1, recall=0.75, f1=0.86, support=4) for label in LABELS],
        labels=LABELS,
        confusion=[[4, 0], [1, 3]],
    )


def _signature(serving: str = "torch-fp32") -> Signature:
    return Signature(
        task="text-classification",
        labels=LABELS,
        inputs=[Tensor(name="input_ids", dtype="int64", shape=[-1, -1])],
        outputs=[Tensor(name="logits", dtype="float32", shape=[-1, 2])],
        tokenization=Tokenization(max_length=32, pad_id=0, pad_token="[PAD]"),
        serving_variant=serving,
    )


def _write(directory: Path) -> PackageWriter:
    writer = PackageWriter(directory)
    tokenizer = directory.parent / "tokenizer-source"
    tokenizer.mkdir(exist_ok=True)
    (tokenizer / "tokenizer.json").write_text("{}")
    writer.tokenizer(tokenizer)
    with writer.variant("torch-fp32", format="safetensors", precision="fp32", entry="model.safetensors") as target:
        (target / "model.safetensors").write_bytes(b"weights" * 100)
        (target / "config.json").write_text("{}")
    with writer.variant("openvino-int8", format="openvino", precision="int8", entry="model.xml") as target:
        (target / "model.xml").write_text("<net/>")
        (target / "model.bin").write_bytes(b"w" * 50)
    writer.signature(_signature())
    figures = VariantFigures(
        variant="openvino-int8", size_bytes=56, p50_ms=4.8, p95_ms=5.0, throughput=480, threads=2, metrics={},
        test_metrics={"accuracy": 0.87},
    )  # fmt: skip
    folds = FoldSummary(folds=[{"accuracy": 0.8}, {"accuracy": 0.9}], mean={"accuracy": 0.85}, std={"accuracy": 0.07})
    writer.metrics(
        Metrics(
            validation=_evaluation("validation"),
            test=_evaluation("test"),
            cross_validation=folds,
            variants=[figures],
        )
    )
    dataset = ArtifactRef(digest="sha256:" + "a" * 64, kind="dataset", size_bytes=10)
    writer.lineage(Lineage(dataset=dataset, base="minilm", parts={"train": 80, "test": 8}, revision=1))
    return writer


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return _write(tmp_path / "model").finish()


def test_what_is_written_is_read_back(package: ModelPackage) -> None:
    again = ModelPackage.open(package.directory)
    again.verify()
    assert again.signature == _signature()
    assert again.metrics.test.confusion == [[4, 0], [1, 3]]
    assert list(again.variants) == ["openvino-int8", "torch-fp32"]
    assert again.variants["torch-fp32"].size_bytes == 702
    assert again.entry("openvino-int8").read_text() == "<net/>"
    assert (again.tokenizer_dir / "tokenizer.json").is_file()
    with pytest.raises(NotFound, match="onnx-int8"):
        again.variant_dir("onnx-int8")


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = _write(tmp_path / "one").finish(), _write(tmp_path / "two").finish()
    assert first.manifest == second.manifest


def test_the_card_tells_a_person_what_was_measured(package: ModelPackage) -> None:
    card = (package.directory / "README.md").read_text(encoding="utf-8")
    assert "| accuracy | 0.8750 | 0.8750 | 0.8500 ± 0.0700 |" in card
    assert "好评, 差评\\|中" in card
    assert "| train | 80 |" in card
    assert "| torch-fp32 (serves) | safetensors | fp32 |" in card
    row = next(line for line in card.splitlines() if "| openvino-int8 | openvino |" in line)
    assert "| int8 | 0.0 | 4.80 |" in row
    assert "| 480 |" in row
    assert "| 0.8700 |" in row
    assert "Intended use" in card


def test_a_flipped_byte_is_named(package: ModelPackage) -> None:
    weights = package.directory / "variants/torch-fp32/model.safetensors"
    weights.write_bytes(b"x" + weights.read_bytes()[1:])
    reopened = ModelPackage.open(package.directory)
    reopened.verify(only=["variants/openvino-int8/", "signature.json"])
    with pytest.raises(CorruptArtifact, match=r"variants/torch-fp32/model\.safetensors"):
        reopened.verify()


def test_missing_cut_and_foreign_files_are_named(package: ModelPackage, tmp_path: Path) -> None:
    def damaged(name: str) -> Path:
        return Path(shutil.copytree(package.directory, tmp_path / name))

    cut = damaged("cut")
    (cut / "variants/openvino-int8/model.bin").write_bytes(b"w")
    with pytest.raises(CorruptArtifact, match=r"model\.bin has 1 bytes"):
        ModelPackage.open(cut)
    gone = damaged("gone")
    (gone / "metrics.json").unlink()
    with pytest.raises(CorruptArtifact, match=r"metrics\.json is missing"):
        ModelPackage.open(gone)
    foreign = damaged("foreign")
    (foreign / "extra.json").write_text("{}")
    with pytest.raises(CorruptArtifact, match=r"extra\.json is not in its manifest"):
        ModelPackage.open(foreign).verify()
    unfinished = damaged("unfinished")
    (unfinished / "manifest.json").unlink()
    with pytest.raises(CorruptArtifact, match=r"manifest\.json is missing"):
        ModelPackage.open(unfinished)


def test_a_server_may_hold_only_some_variants(package: ModelPackage) -> None:
    shutil.rmtree(package.directory / "variants/torch-fp32")
    with pytest.raises(CorruptArtifact, match="torch-fp32"):
        ModelPackage.open(package.directory)
    part = ModelPackage.open_partial(package.directory)
    part.verify()
    assert list(part.variants) == ["openvino-int8"]


@pytest.mark.parametrize("document", ["manifest.json", "signature.json"])
def test_a_format_of_the_future_is_refused_with_a_clear_message(package: ModelPackage, document: str) -> None:
    path = package.directory / document
    text = path.read_text().replace('"format": 1', '"format": 2')
    path.write_text(text)
    with pytest.raises(PermanentError, match=f"{document} is written in format 2"):
        ModelPackage.open(package.directory)


def test_a_manifest_cannot_point_outside(package: ModelPackage) -> None:
    path = package.directory / "manifest.json"
    document = json.loads(path.read_text())
    document["files"]["../secret.json"] = document["files"]["README.md"]
    path.write_text(json.dumps(document))
    with pytest.raises(CorruptArtifact, match="not inside the package"):
        ModelPackage.open(package.directory)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "vectorizer.pkl", "model.joblib"])
def test_pickles_are_refused(tmp_path: Path, name: str) -> None:
    writer = _write(tmp_path / "model")
    (tmp_path / "model/variants/torch-fp32" / name).write_bytes(b"\x80\x04.")
    with pytest.raises(InvalidInput, match=name):
        writer.finish()


def test_an_incomplete_package_is_not_finished(tmp_path: Path) -> None:
    writer = _write(tmp_path / "model")
    writer.signature(_signature("onnx-int8"))
    with pytest.raises(InvalidInput, match="onnx-int8"):
        writer.finish()
    with pytest.raises(InvalidInput, match="signature, metrics, lineage, variant"):
        PackageWriter(tmp_path / "empty").finish()
    with pytest.raises(InvalidInput, match="not empty"):
        PackageWriter(tmp_path / "model")
