from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tidemill.errors import CorruptArtifact, InvalidInput, PermanentError
from tidemill.modelpack.schema import Tokenization
from tidemill.tasks.text_classification.serving import (
    MAX_CHARACTERS,
    TextEncoder,
    predictions,
    softmax,
    validate_instances,
)
from tidemill.tasks.text_classification.vocabulary import learn_wordpiece

TEXTS = ["my card was declined", "退款什么时候到账", "the card, the card and the refund"]
TOKENIZATION = Tokenization(max_length=12, pad_id=0, pad_token="[PAD]")


@pytest.fixture(scope="module")
def tokenizer_json(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer = learn_wordpiece(TEXTS * 5, 300)
    # What training leaves set must not count.
    tokenizer.enable_truncation(3)
    tokenizer.save(str(path))
    return path


def test_texts_are_padded_to_the_longest_and_cut_at_the_limit(tokenizer_json: Path) -> None:
    encode = TextEncoder(tokenizer_json, TOKENIZATION, inputs=["input_ids", "attention_mask", "token_type_ids"])
    made = encode(["退款", "退款什么时候到账" * 9])
    assert {name: array.dtype for name, array in made.items()} == dict.fromkeys(made, np.dtype(np.int64))
    assert {array.shape for array in made.values()} == {(2, 12)}
    assert made["attention_mask"].sum(axis=1).tolist() == [4, 12]
    assert made["input_ids"][0, 4:].tolist() == [0] * 8
    assert made["token_type_ids"].sum() == 0
    assert encode.max_length == 12


def test_every_chinese_character_counts(tokenizer_json: Path) -> None:
    ids = TextEncoder(tokenizer_json, TOKENIZATION)(["到账", "账到"])["input_ids"]
    assert ids.shape == (2, 4)
    assert ids[0, 1:3].tolist() == ids[1, 2:0:-1].tolist()
    assert ids[0, 1] != ids[0, 2]


def test_a_text_is_encoded_the_same_alone_and_among_others(tokenizer_json: Path) -> None:
    encode = TextEncoder(tokenizer_json, TOKENIZATION)
    together, alone = encode(TEXTS), encode([TEXTS[0]])
    length = alone["input_ids"].shape[1]
    assert together["input_ids"][0, :length].tolist() == alone["input_ids"][0].tolist()


def test_padding_to_multiples_never_goes_beyond_the_longest_input(tokenizer_json: Path) -> None:
    encode = TextEncoder(tokenizer_json, TOKENIZATION, multiple_of=8)
    assert encode(["退款"])["input_ids"].shape == (1, 8)
    assert encode(["退款" * 20])["input_ids"].shape == (1, 12)


def test_what_is_no_tokenizer_is_refused(tokenizer_json: Path, tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifact, match=r"tokenizer\.json"):
        TextEncoder(tmp_path / "tokenizer.json", TOKENIZATION)
    with pytest.raises(PermanentError, match="'pixel_values' cannot be made from text"):
        TextEncoder(tokenizer_json, TOKENIZATION, inputs=["pixel_values"])
    with pytest.raises(InvalidInput, match="the list is empty"):
        TextEncoder(tokenizer_json, TOKENIZATION)([])


def test_instances_are_strings_or_objects_with_a_text() -> None:
    assert validate_instances(["a", {"text": "退款"}, ""]) == ["a", "退款", ""]


@pytest.mark.parametrize(
    ("instances", "message"),
    [
        ("a", "instances: expected a list of texts, got string"),
        (None, "instances: expected a list of texts, got null"),
        ([], "instances: the list is empty; send at least one text"),
        (["a", "b", 3], 'instances[2]: expected a string or {"text": …}, got number'),
        ([True], 'instances[0]: expected a string or {"text": …}, got boolean'),
        ([["a"]], 'instances[0]: expected a string or {"text": …}, got list'),
        ([{"text": {}}], "instances[0].text: expected a string, got object"),
        ([{}], "instances[0]: field 'text' is missing (found nothing)"),
        ([{"txt": "a"}], "instances[0]: field 'text' is missing (found 'txt')"),
        ([{"text": "a", "lang": "en"}], "instances[0]: field 'lang' is not known"),
        (["中\ud800"], "instances[0]: character 1 is half of a surrogate pair"),
        (["a" * (MAX_CHARACTERS + 1)], "instances[0]: the text has 1,000,001 characters"),
    ],
)
def test_a_wrong_instance_is_named_with_its_field(instances: object, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        validate_instances(instances)
    assert str(refused.value).startswith(message)


def test_predictions_name_the_best_label_and_all_scores() -> None:
    logits = np.array([[1.0, 3.0], [1000.0, -1000.0]], dtype=np.float32)
    first, second = predictions(logits, ["正面", "negative"])
    assert first["label"] == "negative"
    assert first["score"] == first["scores"]["negative"] == pytest.approx(0.8808, abs=1e-4)
    assert sum(first["scores"].values()) == pytest.approx(1.0)
    assert second == {"label": "正面", "score": 1.0, "scores": {"正面": 1.0, "negative": 0.0}}
    assert np.allclose(softmax(logits - 50), softmax(logits))


def test_an_inconsistent_or_broken_model_is_not_served() -> None:
    with pytest.raises(PermanentError, match=r"shape \[1, 3\] for 2 labels"):
        predictions(np.zeros((1, 3), dtype=np.float32), ["a", "b"])
    with pytest.raises(PermanentError, match="not a number"):
        predictions(np.array([[np.nan, 0.0]], dtype=np.float32), ["a", "b"])


def test_serving_needs_no_training_framework() -> None:
    code = (
        "import sys; import tidemill.tasks.text_classification.serving, tidemill.modelpack.runtime; "
        "heavy = ('torch', 'transformers', 'onnxruntime', 'openvino', 'pyarrow'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_texts_are_prepared_as_for_training_unless_they_are(tokenizer_json: Path) -> None:
    rules = {"strip_html": True, "lowercase": True, "normalize": True, "stop_words": ("en", "zh")}
    trained_so = TOKENIZATION.model_copy(update=rules)
    raw, prepared = ["<p>My&nbsp;CARD was <b>Declined</b></p>", "我的退款&amp;lt;"], ["card declined", "退款&lt;"]
    encode = TextEncoder(tokenizer_json, TOKENIZATION)
    assert TextEncoder(tokenizer_json, trained_so)(raw)["input_ids"].tolist() == encode(prepared)["input_ids"].tolist()
    again = TextEncoder(tokenizer_json, trained_so, prepared=True)(prepared)
    assert again["input_ids"].tolist() == encode(prepared)["input_ids"].tolist()


def test_a_package_with_stop_words_of_a_later_version_is_not_served(tokenizer_json: Path) -> None:
    later = TOKENIZATION.model_copy(update={"stop_words": ("en", "ja")})
    with pytest.raises(PermanentError, match=r"no list of stop words for 'ja'.*update Tidemill"):
        TextEncoder(tokenizer_json, later)
