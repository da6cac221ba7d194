"""Which languages texts are in, for many texts at once: py3langid's model, applied by NumPy.

The model is naive Bayes over byte n-grams that an automaton finds (Lui and Baldwin 2011, 2012). py3langid walks one
text at a time in Python; here all texts of a block take a step together. Sums run in one order, so that they do not
depend on the processor's linear algebra.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_BLOCK = 1024
"""Texts that are scored together: some 30 MB of scores."""


@functools.cache
def identifier() -> Any:
    """The model with the languages that have a code of two letters, read once in a process (0.8 s)."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    model.set_languages([code for code in model.labels if len(code) == 2])
    return model


def probability_of(languages: Sequence[str], texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """The probability that each text is in any of ``languages``, as the model's ``rank`` has it: float64 [texts]."""
    wanted = np.isin(np.array(identifier().nb_classes), np.array(list(languages)))
    encoded = [_encoded(text) for text in texts]
    blocks = [_probabilities(encoded[start : start + _BLOCK]) for start in range(0, len(encoded), _BLOCK)]
    return np.concatenate([np.zeros(0), *(block[:, wanted].sum(axis=1) for block in blocks)])


def _encoded(text: str) -> bytes:
    lower = text.lower() if text.isupper() else text
    return unicodedata.normalize("NFC", lower).encode("utf-8", "surrogatepass")


def _probabilities(texts: Sequence[bytes]) -> npt.NDArray[np.float64]:
    """Of each text and language: float64 [texts, languages]."""
    model = identifier()
    scores = np.zeros((len(texts), len(model.nb_classes)), np.float64)
    rows, features, counts = _features(texts)
    if len(rows):
        terms = _automaton().weights[features] * np.log1p(counts).astype(np.float32)[:, None]
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        scores[rows[starts]] = np.add.reduceat(terms, starts, axis=0) + model.nb_pc
    # The temperature keeps probabilities of long and short texts comparable, as in py3langid.
    scores /= np.sqrt(np.maximum([len(text) for text in texts], 1))[:, None]
    likely: npt.NDArray[np.float64] = np.exp(scores - scores.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    return likely


def _features(texts: Sequence[bytes]) -> tuple[npt.NDArray[np.int64], ...]:
    """Text, feature and occurrences of each feature in each text, in that order: int64 [found] each."""
    automaton = _automaton()
    count = len(automaton.weights)
    lengths = np.array([len(text) for text in texts])
    order = np.argsort(-lengths, kind="stable")
    characters = np.frombuffer(b"".join(texts), np.uint8)
    starts = (np.cumsum(lengths) - lengths)[order]
    active = np.searchsorted(-lengths[order], -np.arange(1, lengths.max(initial=0) + 1), side="right")
    states = np.zeros(len(texts), np.uint32)
    found = []
    for place, rows in enumerate(active.tolist()):
        states = states[:rows]
        states = automaton.move[automaton.row_of[states] + characters[starts[:rows] + place]]
        feature = automaton.feature_of[states]
        hit = feature >= 0
        found.append(order[:rows][hit] * count + feature[hit])
    pairs, counts = np.unique(np.concatenate([np.zeros(0, np.int64), *found]), return_counts=True)
    return pairs // count, pairs % count, counts


@dataclass(frozen=True)
class _Automaton:
    """``move``: next state by row and byte; ``row_of``, ``feature_of``: of a state, -1 for no feature; ``weights``:
    float32 [features, languages]."""

    move: npt.NDArray[np.uint32]
    row_of: npt.NDArray[np.int64]
    feature_of: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]


@functools.cache
def _automaton() -> _Automaton:
    model = identifier()
    return _Automaton(
        move=np.asarray(model.tk_nextmove),
        row_of=np.asarray(model.tk_row).astype(np.int64) << 8,
        feature_of=np.asarray(model.tk_output).astype(np.int64),
        weights=np.ascontiguousarray(model.nb_ptc, np.float32),
    )
