"""MinHash signatures and their bands: which texts are worth comparing, as key columns of a shard.

Broder, On the resemblance and containment of documents (1997); banding as in Leskovec, Rajaraman and Ullman, Mining of
Massive Datasets, chapter 3. Two texts of Jaccard similarity s agree in all rows of one of b bands of r rows with the
probability 1 - (1 - s^r)^b. What agrees is compared exactly afterwards, so that a candidate too many costs a comparison
and a candidate too few is a duplicate that stays: bands are chosen for the second.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import cast

import daft
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from daft import DataType, Expression, lit
from daft import functions as f

from services.preprocess.duplicates.shingles import mixed, tokens
from tidemill.contracts.preparation import NearDuplicates

TEXT = ("__tokens_a", "__tokens_b")
"""128-bit key of the tokens as a whole, uint64 each; 0 and 0 for a text that has none."""
BANDS = "__bands"
"""Fixed-size binary: a little-endian uint32 for each band."""
TOKENS = "__shingles"
"""List of uint32: a hash of each token in the text's order."""

_MISSED = 0.98
"""Weight of the area of missed pairs against that of needless candidates."""


@lru_cache
def bands_and_rows(threshold: float, permutations: int) -> tuple[int, int]:
    """Number of bands and of rows in each that minimise the weighted areas below and above ``threshold``.

    Below it, the area under the probability of being a candidate; above it, the area over it.
    """
    similarity = np.linspace(0, 1, 1001)
    below = similarity < threshold
    best = (np.inf, 1, permutations)
    for rows in range(1, permutations + 1):
        for bands in range(1, permutations // rows + 1):
            candidate = 1 - (1 - similarity**rows) ** bands
            needless, missed = candidate[below].sum(), (1 - candidate[~below]).sum()
            cost = round(float((1 - _MISSED) * needless + _MISSED * missed), 6)
            best = min(best, (cost, bands, rows))
    return best[1], best[2]


def near_keys(column: str, rule: NearDuplicates) -> dict[str, Expression]:
    """The columns TEXT, BANDS and TOKENS for the texts of ``column``; none is null."""
    text = f.coalesce(tokens(daft.col(column)), lit(""))
    bands, rows = bands_and_rows(rule.threshold, rule.permutations)
    signature = f.minhash(
        text, num_hashes=bands * rows, ngram_size=rule.shingle, seed=rule.seed, hash_function="xxhash64"
    )
    nothing = lit(0).cast(DataType.uint64())
    keys = {
        name: f.when(text == "", nothing).otherwise(f.hash(text, seed=seed, hash_function="xxhash3_64"))
        for seed, name in enumerate(TEXT, start=1)
    }
    token = f.hash(daft.element(), hash_function="xxhash3_64")
    hashes = f.list_map(f.split(text, " "), f.shift_right(token, lit(32)).cast(DataType.uint32()))
    return {**keys, BANDS: _banded(bands, rows)(signature), TOKENS: hashes}


def band_values(signatures: npt.NDArray[np.uint32], bands: int) -> npt.NDArray[np.uint32]:
    """One value for each band of each signature: uint32 [texts, bands × rows] to uint32 [texts, bands]."""
    values = signatures.reshape(len(signatures), bands, -1)
    hashes = np.zeros((len(signatures), bands), dtype=np.uint64)
    for row in range(values.shape[2]):
        hashes = mixed(hashes, values[:, :, row].astype(np.uint64))
    return (hashes >> np.uint64(32)).astype(np.uint32)


@lru_cache
def _banded(bands: int, rows: int) -> Callable[[Expression], Expression]:
    width = 4 * bands

    @daft.func.batch(return_dtype=DataType.fixed_size_binary(width))
    def banded(signatures: daft.Series) -> daft.Series:
        values = signatures.to_arrow().flatten().to_numpy().reshape(-1, bands * rows)
        packed = np.ascontiguousarray(band_values(values, bands), dtype="<u4")
        binary = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(packed), [None, pa.py_buffer(packed)])
        return daft.Series.from_arrow(binary)

    return cast(Callable[[Expression], Expression], banded)
