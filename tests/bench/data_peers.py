"""The work of `make bench-data` as pandas and polars do it: `python -m tests.bench.data_peers pandas <dataset> <file>`.

What a person who knows the library would write: its own string functions, Python only where a check digit has to be
computed, in one Parquet file at the end. Patterns are simpler than those of `services/preprocess/privacy`, which looks at
words around a number and at numbering plans; on the rows of this bench both find the same.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidemill.tasks.text_classification.normalization import normalize

EMAIL = r"[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}"
CARD = r"[0-9](?:[ -]?[0-9]){12,18}"
PHONE = (
    r"(^|[^0-9+])(?:\+1 [0-9]{3}-[0-9]{3}-[0-9]{4}|\([0-9]{3}\) [0-9]{3}-[0-9]{4}|(?:\+86 )?1[3-9][0-9]{9})($|[^0-9])"
)
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IP_ADDRESS = rf"(^|[^0-9.])(?:{_OCTET}\.){{3}}{_OCTET}($|[^0-9.])"
UNWANTED = r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff]+"
_CARD = re.compile(CARD)


def mask_card(found: re.Match[str]) -> str:
    """A card's number by Luhn's sum; others stay."""
    digits = [int(sign) for sign in found[0] if sign.isdigit()]
    doubled = [value * 2 - 9 if value > 4 else value * 2 for value in digits[-2::-2]]
    return "<PAYMENT_CARD>" if (sum(digits[::-2]) + sum(doubled)) % 10 == 0 else found[0]


def mask_cards(text: str) -> str:
    return _CARD.sub(mask_card, text)


def with_pandas(dataset: Path, target: Path) -> int:
    import pandas as pd

    frame = pd.read_parquet(dataset / "data")
    for column in ("text", "label"):
        frame[column] = frame[column].map(normalize)
    frame = frame[(frame["text"].str.len() > 0) & (frame["label"].str.len() > 0)]
    text = frame["text"].str.replace(EMAIL, "<EMAIL>", regex=True)
    text = text.str.replace(CARD, mask_card, regex=True)
    text = text.str.replace(PHONE, r"\1<PHONE>\2", regex=True)
    frame = frame.assign(text=text.str.replace(IP_ADDRESS, r"\1<IP_ADDRESS>\2", regex=True))
    frame = frame.drop_duplicates(["text", "label"])
    frame = frame[~frame.duplicated("text", keep=False)]
    frame.to_parquet(target, compression="zstd", compression_level=1, index=False)
    return len(frame)


def with_polars(dataset: Path, target: Path) -> int:
    import polars as pl

    def normal(column: str) -> pl.Expr:
        clean = pl.col(column).str.replace_all(UNWANTED.replace(r"\u", r"\u"), "").str.replace_all(r"\s+", " ")
        return clean.str.strip_chars(" ").str.normalize("NFC").alias(column)

    text = pl.col("text")
    masked = text.str.replace_all(EMAIL, "<EMAIL>")
    with_card = pl.when(masked.str.contains(CARD)).then(masked)
    cards = with_card.map_elements(mask_cards, return_dtype=pl.String, skip_nulls=True).fill_null(masked)
    phones = cards.str.replace_all(PHONE, "${1}<PHONE>${2}")
    frame = (
        pl.scan_parquet(dataset / "data" / "*.parquet")
        .with_columns(normal("text"), normal("label"))
        .filter((text.str.len_bytes() > 0) & (pl.col("label").str.len_bytes() > 0))
        .with_columns(phones.str.replace_all(IP_ADDRESS, "${1}<IP_ADDRESS>${2}"))
        .unique(["text", "label"], keep="first", maintain_order=True)
        .filter(pl.len().over("text") == 1)
        .collect()
    )
    frame.write_parquet(target, compression="zstd", compression_level=1)
    return frame.height


PEERS: dict[str, Callable[[Path, Path], int]] = {"pandas": with_pandas, "polars": with_polars}


def main(arguments: list[str]) -> dict[str, Any]:
    name, dataset, target = arguments
    __import__(name)
    begun = time.perf_counter()
    rows = PEERS[name](Path(dataset), Path(target))
    return {"rows": rows, "seconds": time.perf_counter() - begun}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
