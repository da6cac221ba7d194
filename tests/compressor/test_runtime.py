"""Sessions of both runtimes on an ONNX graph made here."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from services.compressor.quantize import convert_openvino
from tidemill.errors import CorruptArtifact, InvalidInput, NotFound
from tidemill.modelpack import Variant, VariantFormat
from tidemill.modelpack.runtime import open_session

FORMATS: list[VariantFormat] = ["onnx", "openvino"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``logits = ids * 2`` over int64 [batch, sequence], as ONNX and as OpenVINO IR."""
    made = tmp_path_factory.mktemp("graph")
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["input_ids"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["wide", "wide"], ["logits"]),
        ],
        "double",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "sequence"])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), made / "model.onnx")
    convert_openvino(made / "model.onnx", made / "model.xml")
    return made


def variant(kind: VariantFormat) -> Variant:
    entry = {"onnx": "model.onnx", "openvino": "model.xml", "safetensors": "model.safetensors"}[kind]
    return Variant(name=f"{kind}-fp32", format=kind, precision="fp32", entry=entry, size_bytes=1)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_session_is_shared_by_threads_and_its_results_are_the_callers_own(kind: VariantFormat, folder: Path) -> None:
    session = open_session(folder, variant(kind), threads=1, parallel=2)
    assert session.input_names == ("input_ids",)

    def ask(number: int) -> np.ndarray:
        ids = np.full((1 + number % 3, 1 + number % 5), number, dtype=np.int64)
        return session.run({"input_ids": ids, "attention_mask": ids})

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(60)))
    for number, answer in enumerate(answers):
        assert answer.dtype == np.float32
        assert answer.tolist() == [[2.0 * number] * (1 + number % 5)] * (1 + number % 3)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_missing_input_and_a_wrong_shape_are_named(kind: VariantFormat, folder: Path) -> None:
    session = open_session(folder, variant(kind))
    with pytest.raises(InvalidInput, match="'input_ids' is missing; it takes input_ids"):
        session.run({"ids": np.zeros((1, 2), dtype=np.int64)})
    with pytest.raises(InvalidInput, match="does not take this input"):
        session.run({"input_ids": np.zeros((1, 2, 3), dtype=np.int64)})


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_is_no_model_is_named(kind: VariantFormat, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=variant(kind).entry):
        open_session(tmp_path, variant(kind))
    (tmp_path / variant(kind).entry).write_bytes(b"\x08\x0agarbage")
    with pytest.raises(CorruptArtifact, match=rf"'{kind}-fp32': {variant(kind).entry} cannot be loaded"):
        open_session(tmp_path, variant(kind))


def test_training_weights_are_not_served(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(InvalidInput, match="serve one of the model's ONNX or OpenVINO variants"):
        open_session(tmp_path, variant("safetensors"))


def test_openvino_and_nncf_are_loaded_without_their_usage_reporting() -> None:
    code = (
        "from tidemill.modelpack.runtime import load_openvino; load_openvino(); import sys, threading; "
        "import openvino.tools.ovc.telemetry_utils as ours; "
        "print(sys.modules['openvino_telemetry'], ours.tm.__name__, threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "None openvino.tools.ovc.telemetry_stub 1\n"
