from __future__ import annotations

from collections.abc import Callable

import numpy as np

from services.compressor.examples import Examples
from services.compressor.measure import CALLS_PER_TURN, MIN_ROUNDS, Inputs, measure, timing_inputs
from services.compressor.quality import EncodedPart

ROWS = {
    "input_ids": np.array([[5, 6, 7, 0], [8, 9, 0, 0]]),
    "attention_mask": np.array([[1, 1, 1, 0], [1, 1, 0, 0]]),
}


def test_all_models_are_timed_in_turns_on_the_same_inputs() -> None:
    calls: list[tuple[str, int]] = []

    def model(name: str) -> Callable[[Inputs], object]:
        return lambda inputs: calls.append((name, len(inputs["input_ids"])))

    single, batch = timing_inputs(ROWS, batch=1, length=8), timing_inputs(ROWS, batch=4, length=8)
    timings = measure({"a": model("a"), "b": model("b")}, single, batch, seconds=1e-9, max_rounds=100)
    assert set(timings) == {"a", "b"}
    assert calls.count(("a", 1)) == calls.count(("b", 1)) == 1 + MIN_ROUNDS * (1 + CALLS_PER_TURN)
    assert calls.count(("a", 4)) == calls.count(("b", 4)) > 1
    turns = [name for name, size in calls if size == 1][2 :: 1 + CALLS_PER_TURN]
    assert turns[:4] == ["a", "b", "b", "a"]
    assert all(timing.p95_ms >= timing.p50_ms > 0 and timing.throughput > 0 for timing in timings.values())


def test_timing_inputs_are_real_tokens_without_padding() -> None:
    made = timing_inputs(ROWS, batch=2, length=4)
    assert made["input_ids"].tolist() == [[5, 6, 7, 8], [9, 5, 6, 7]]
    assert made["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 1]]


def test_predictions_come_back_in_the_order_of_the_texts_whatever_their_length() -> None:
    def encode(texts: object) -> dict[str, np.ndarray]:
        assert isinstance(texts, list)
        width = max(len(text) for text in texts)
        ids = np.array([[ord(letter) for letter in text.ljust(width, "\0")] for text in texts])
        return {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}

    texts = ["中" * (1 + (7 * number) % 50) for number in range(200)]
    part = EncodedPart(encode, texts)  # type: ignore[arg-type]
    lengths = part.predict(lambda inputs: inputs["attention_mask"].sum(axis=1, keepdims=True), parallel=3)
    assert lengths[:, 0].tolist() == [len(text) for text in texts]


def test_calibration_rows_hold_every_label_even_a_rare_one() -> None:
    labels = np.array([0] * 900 + [1] * 90 + [2] * 2)
    examples = Examples([str(number) for number in range(len(labels))], labels)
    chosen = examples.stratified(30, seed=3)
    assert np.bincount(chosen.labels).tolist() == [14, 14, 2]
    assert chosen.texts == examples.stratified(30, seed=3).texts
    assert len(examples.stratified(5000, seed=3)) == len(examples)
    assert len(examples.spread(100)) == 100
