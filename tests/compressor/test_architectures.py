"""Every encoder family that people fine-tune goes through all conversions; tiny, with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import transformers

from services.compressor.export import check_export, export_onnx
from services.compressor.original import Network
from services.compressor.quantize import convert_openvino, quantize_onnx, quantize_openvino
from tidemill.modelpack import Signature, Tensor, Tokenization, Variant
from tidemill.modelpack.runtime import Session, open_session

pytestmark = pytest.mark.full

SHAPE = {
    "vocab_size": 300,
    "hidden_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 66,
    "num_labels": 3,
    "pad_token_id": 1,
}
FAMILIES = {
    "roberta": SHAPE,
    "electra": SHAPE | {"embedding_size": 64},
    "albert": SHAPE | {"embedding_size": 64},
    "mpnet": SHAPE,
    "modernbert": SHAPE
    | {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3},
    "deberta-v2": SHAPE
    | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 16, "share_att_key": True},
    "distilbert": {"vocab_size": 300, "dim": 64, "n_layers": 1, "n_heads": 4, "hidden_dim": 128, "num_labels": 3},
}
SIGNATURE = Signature(
    task="text-classification",
    labels=["a", "b", "c"],
    inputs=[Tensor(name=name, dtype="int64", shape=[-1, -1]) for name in ("input_ids", "attention_mask")],
    outputs=[Tensor(name="logits", dtype="float32", shape=[-1, 3])],
    tokenization=Tokenization(max_length=64, pad_id=1, pad_token="<pad>"),
    serving_variant="torch-fp32",
)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_survives_export_and_int8(family: str, tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model(family, **FAMILIES[family])
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    network = Network(tmp_path, attention="eager")
    ids = np.random.default_rng(0).integers(5, 300, (3, 20))
    mask = np.ones_like(ids)
    ids[1, 12:], mask[1, 12:] = 1, 0
    batch = {"input_ids": ids, "attention_mask": mask}
    one = {name: array[:1, :7] for name, array in batch.items()}
    source = tmp_path / "model.onnx"
    export_onnx(network, SIGNATURE, source)
    exported = session(source)
    assert check_export(exported, network, batch) < 1e-5
    assert check_export(exported, network, one) < 1e-5
    quantize_onnx(source, tmp_path / "int8.onnx")
    convert_openvino(source, tmp_path / "model.xml")
    quantize_openvino(source, tmp_path / "int8.xml", [one, batch], lambda seen: None)
    for name, tolerance in (("int8.onnx", 0.1), ("model.xml", 1e-4), ("int8.xml", 0.1)):
        assert np.allclose(session(tmp_path / name).run(batch), network.run(batch), atol=tolerance)


def session(path: Path) -> Session:
    kind = "openvino" if path.suffix == ".xml" else "onnx"
    return open_session(path.parent, Variant.model_validate(_described(path, kind)))


def _described(path: Path, kind: str) -> dict[str, object]:
    return {"name": path.stem, "format": kind, "precision": "fp32", "entry": path.name, "size_bytes": 1}
