"""Predictions of a model over a whole part, quickly: texts are encoded once and batched with others of their length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 64

Encode = Callable[[Sequence[str]], dict[str, NDArray[np.int64]]]
Run = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float32]]


class EncodedPart:
    """Texts as batches of tensors, for every candidate the same. Padding is part of what dynamic int8 sees."""

    def __init__(self, encode: Encode, texts: Sequence[str]) -> None:
        self._count = len(texts)
        order = np.argsort([len(text) for text in texts], kind="stable")
        self._batches = [
            (rows, encode([texts[row] for row in rows]))
            for rows in (order[start : start + BATCH] for start in range(0, len(order), BATCH))
        ]

    def predict(self, run: Run) -> NDArray[np.float32]:
        """Logits float32 [texts, labels] in the order of the texts.

        Raises:
            ValueError: the model gave something that is not a number.
        """
        parts = [run(inputs) for _, inputs in self._batches]
        logits = np.empty((self._count, parts[0].shape[1]), dtype=np.float32)
        for (rows, _), part in zip(self._batches, parts, strict=True):
            logits[rows] = part
        if not np.isfinite(logits).all():
            raise ValueError("it gives outputs that are not numbers")
        return logits
