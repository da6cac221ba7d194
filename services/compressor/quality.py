"""Predictions of a model over a whole part, quickly: encoded once, batched by length, one batch on every processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 64

Encode = Callable[[Sequence[str]], dict[str, NDArray[np.int64]]]
Run = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float32]]


class EncodedPart:
    """Texts as batches of tensors, for every candidate the same. Padding is part of what dynamic int8 sees."""

    def __init__(self, encode: Encode, texts: Sequence[str]) -> None:
        whole = encode(texts)
        lengths = whole["attention_mask"].sum(axis=1)
        order = np.argsort(lengths, kind="stable")
        self._count = len(texts)
        self._batches = []
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            longest = max(1, int(lengths[rows].max()))
            self._batches.append((rows, {name: array[rows, :longest] for name, array in whole.items()}))

    def predict(self, run: Run, *, parallel: int = 1) -> NDArray[np.float32]:
        """Logits float32 [texts, labels] in the order of the texts.

        ``parallel`` calls of ``run`` go on at a time: single-threaded models on every processor are quicker than
        one after another with threads that wait for each other.

        Raises:
            ValueError: the model gave something that is not a number.
        """
        # Longest first, so that no processor is left with the longest at the end.
        batches = self._batches[::-1]
        with ThreadPoolExecutor(parallel, thread_name_prefix="predict") as pool:
            parts = list(pool.map(lambda batch: run(batch[1]), batches))
        logits = np.empty((self._count, parts[0].shape[1]), dtype=np.float32)
        for (rows, _), part in zip(batches, parts, strict=True):
            logits[rows] = part
        if not np.isfinite(logits).all():
            raise ValueError("it gives outputs that are not numbers")
        return logits
