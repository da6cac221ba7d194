"""Names and addresses by a token-classification model: a tiny one, whose weights say which words are names."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from services.preprocess.privacy.model import classifier, model_fingerprint
from tidemill.errors import InvalidInput

VOCABULARY = {"[UNK]": 0, "Anna": 1, "Smith": 2, "Main": 3, "Street": 4, "王": 5, "小明": 6}
LABELS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}
LABEL_OF_TOKEN = [0, 1, 2, 3, 4, 1, 2]


@pytest.fixture
def model(tmp_path) -> Path:
    return make_model(tmp_path / "model")


def make_model(folder: Path, labels: dict[int, str] = LABELS) -> Path:
    """An embedding of one row for each token: its logits."""
    folder.mkdir()
    logits = np.full((len(VOCABULARY), len(LABELS)), -4, np.float32)
    logits[np.arange(len(VOCABULARY)), LABEL_OF_TOKEN] = 4
    graph = helper.make_graph(
        [helper.make_node("Gather", ["weights", "input_ids"], ["logits"])],
        "tagger",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "tokens"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", "tokens", len(LABELS)])],
        [numpy_helper.from_array(logits, "weights")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx"
    )
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"id2label": {str(code): label for code, label in labels.items()}, "max_position_embeddings": 16}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_names_and_addresses_are_treated_beside_what_has_a_form(treat, model):
    privacy = {"detect": ["person", "address", "email"], "model": str(model)}
    table = pa.table({"text": ["Anna Smith of Main Street writes from anna@firm.org", "nobody", None, "是 王 小明 吗"]})
    treated = treat(privacy, table)
    assert treated["text"] == ["<PERSON> of <ADDRESS> writes from <EMAIL>", "nobody", None, "是 <PERSON> 吗"]
    assert treated.counts == {"person": 2, "address": 1, "email": 1}


def test_only_the_kinds_that_are_asked_for_are_found(treat, model):
    treated = treat({"detect": ["address"], "model": str(model)}, pa.table({"text": ["Anna Smith of Main Street"]}))
    assert treated["text"] == ["Anna Smith of <ADDRESS>"]


def test_a_fake_name_is_another_name_and_the_same_everywhere(treat, model):
    privacy = {"detect": ["person"], "treatment": "fake", "model": str(model)}
    table = pa.table({"text": ["Anna Smith came", "then Anna Smith went"]})
    first, second = treat(privacy, table)["text"]
    assert first.removesuffix(" came") == second.removeprefix("then ").removesuffix(" went") != "Anna Smith"
    assert len(first.split()) == 3


def test_a_text_longer_than_the_model_takes_is_read_in_windows(model):
    text = "x " * 40 + "Anna Smith " + "y " * 40 + "Main Street"
    spans = [(start, end) for _, start, end, _, _ in classifier(str(model))(pa.array([text]))]
    assert {text[start:end] for start, end in spans} >= {"Anna Smith", "Main Street"}


def test_findings_of_a_text_do_not_depend_on_its_neighbours(model):
    texts = ["Anna Smith", "x " * 30, "Main Street"]
    together = list(classifier(str(model))(pa.array(texts)))
    apart = [(row, *one[1:]) for row, text in enumerate(texts) for one in classifier(str(model))(pa.array([text]))]
    assert together == apart


def test_the_fingerprint_of_a_model_changes_with_its_files(tmp_path):
    folder = make_model(tmp_path / "model")
    before = model_fingerprint(str(folder))
    assert before == model_fingerprint(str(folder))
    (folder / "config.json").write_text("{}")
    assert before != model_fingerprint(str(folder))


def test_what_is_no_model_is_refused_by_name(tmp_path):
    with pytest.raises(InvalidInput, match=r"there is no folder '\./nowhere'"):
        classifier("./nowhere")
    with pytest.raises(InvalidInput, match=r"has no model\.onnx; a model is a folder with config\.json"):
        classifier(str(tmp_path))
    other = make_model(tmp_path / "other", {0: "O", 1: "POSITIVE"})
    with pytest.raises(InvalidInput, match=r"has no label of persons or addresses .* it has O, POSITIVE"):
        classifier(str(other))


def test_without_onnxruntime_the_error_says_what_to_install(model, monkeypatch):
    classifier.cache_clear()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InvalidInput, match=r"privacy\.model needs onnxruntime .* pip install onnxruntime tokenizers"):
        classifier(str(model))
