"""What the words of texts are like: how long the texts are, how many words there are, which are most frequent.

Words are runs of letters, marks and digits, with apostrophes inside (an approximation of Unicode's word boundaries, UAX
29); each Chinese or Japanese character is one. Memory grows with the vocabulary, not with the rows: of a very large
dataset hand in every n-th row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import daft
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from daft import col
from daft import functions as fn

from tidemill.texts.stop_words import all_stop_words

_BETWEEN_WORDS = (
    (r"[^\p{L}\p{M}\p{N}'’]+", " "),
    (r"['’]+([^\p{L}]|$)", " ${1}"),
    (r"(^|[^\p{L}\p{M}\p{N}])['’]+", "${1} "),
    (r"([\p{Han}\p{Hiragana}\p{Katakana}])", " ${1} "),
)
"""Replacements in this order leave words with white space between them. (Daft's ``regexp_extract_all`` would be one
step, and takes a hundred times as long with classes of Unicode.)"""
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_MOST_FREQUENT = 25
_AT_ONCE = 1 << 16
"""Texts whose words are in memory together."""
_WORDPIECE_CHARACTERS = 7
"""Characters of a word up to which it is one piece. With 7 the estimate is within 9 % of MiniLM's tokenizer on the SMS
(too few), banking77 (3 % too many) and Tatoeba's English and Chinese (equal)."""


class TokenStatistics:
    """Running figures. What is added in which batches, and which figures are merged first, makes no difference."""

    def __init__(self) -> None:
        self.words: Counter[str] = Counter()
        """Occurrences by word, in lower case."""
        self.lengths: dict[str, Counter[int]] = {"words": Counter(), "characters": Counter(), "tokens": Counter()}
        """Texts by length in words, characters and estimated tokens."""
        self.characters = 0
        self.non_ascii = 0

    def update(self, texts: pa.Array | pa.ChunkedArray) -> None:
        """Add texts; nulls are none."""
        texts = pc.drop_null(texts).cast(pa.large_string())
        for start in range(0, len(texts), _AT_ONCE):
            self._update(texts.slice(start, _AT_ONCE))

    def _update(self, texts: pa.Array | pa.ChunkedArray) -> None:
        spaced = fn.lower(col("text"))
        for pattern, replacement in _BETWEEN_WORDS:
            spaced = fn.regexp_replace(spaced, pattern, replacement)
        frame = daft.from_arrow(pa.table({"text": texts})).select(
            spaced.alias("words"),
            fn.length(col("text")).alias("characters"),
            fn.regexp_count(col("text"), r"[^\x00-\x7f]").alias("non_ascii"),
            fn.regexp_count(col("text"), r"[\p{P}\p{S}]").alias("signs"),
        )
        found = frame.to_arrow().combine_chunks()
        words = pc.ascii_split_whitespace(found["words"].combine_chunks())
        self._add_lengths(found, words)
        counted = pc.value_counts(words.flatten())
        for word, count in zip(*(counted.field(name).to_pylist() for name in ("values", "counts")), strict=True):
            if word:
                self.words[word] += count

    def merge(self, other: TokenStatistics) -> None:
        """Add the texts of another shard."""
        self.words.update(other.words)
        for unit, lengths in other.lengths.items():
            self.lengths[unit].update(lengths)
        self.characters += other.characters
        self.non_ascii += other.non_ascii

    def state(self) -> dict[str, Any]:
        """Everything as JSON; ``from_state`` is the way back."""
        lengths = {
            unit: {str(length): counts[length] for length in sorted(counts)} for unit, counts in self.lengths.items()
        }
        words = {word: self.words[word] for word in sorted(self.words)}
        return {"words": words, "lengths": lengths, "characters": self.characters, "non_ascii": self.non_ascii}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TokenStatistics:
        """The figures that ``state`` wrote down."""
        new = cls()
        new.words.update(state["words"])
        for unit, counts in state["lengths"].items():
            new.lengths[unit].update({int(length): count for length, count in counts.items()})
        new.characters, new.non_ascii = state["characters"], state["non_ascii"]
        return new

    def summary(self) -> dict[str, Any]:
        """For the report. Quantiles are values that occur (nearest rank); ``tokens`` is an estimate for a WordPiece
        vocabulary of English with Chinese characters, marks of beginning and end included."""
        total = self.words.total()
        stopping = all_stop_words()
        frequent = ((word, count) for word, count in self.words.items() if word not in stopping and not word.isdigit())
        top = sorted(frequent, key=lambda one: (-one[1], one[0]))[:_MOST_FREQUENT]
        return {
            "texts": self.lengths["words"].total(),
            "words": total,
            "vocabulary": len(self.words),
            "type_token_ratio": round(len(self.words) / total, 6) if total else 0.0,
            "non_ascii": round(self.non_ascii / self.characters, 6) if self.characters else 0.0,
            "most_frequent": [{"word": word, "count": count} for word, count in top],
            **{f"{unit}_per_text": _quantiles(counts) for unit, counts in self.lengths.items()},
        }

    def _add_lengths(self, found: pa.Table, words: pa.ListArray) -> None:
        ends = words.offsets.to_numpy()
        letters = pc.utf8_length(words.flatten()).to_numpy()
        pieces = _sums(np.ceil(letters / _WORDPIECE_CHARACTERS), ends)
        by_unit = {
            "words": _sums(letters > 0, ends),
            "characters": found["characters"].to_numpy(),
            "tokens": pieces + found["signs"].to_numpy() + 2,
        }
        for unit, lengths in by_unit.items():
            values, counts = np.unique(lengths.astype(np.int64), return_counts=True)
            self.lengths[unit].update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        self.characters += pc.sum(found["characters"]).as_py()
        self.non_ascii += pc.sum(found["non_ascii"]).as_py()


def token_statistics(texts: pa.Array | pa.ChunkedArray) -> dict[str, Any]:
    """The summary of some texts (strings)."""
    statistics = TokenStatistics()
    statistics.update(texts)
    return statistics.summary()


def _sums(values: npt.NDArray[Any], ends: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """The sum of the values of each list: float64 [lists]."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return sums[ends[1:] - ends[0]] - sums[ends[:-1] - ends[0]]  # type: ignore[no-any-return]


def _quantiles(counts: Counter[int]) -> dict[str, int]:
    if not counts:
        return {}
    values = np.array(sorted(counts))
    ranks = np.cumsum([counts[value] for value in values.tolist()])
    places = np.searchsorted(ranks, np.maximum(1, np.ceil(np.array(QUANTILES) * ranks[-1])))
    return {f"{quantile:g}": int(values[place]) for quantile, place in zip(QUANTILES, places, strict=True)}
