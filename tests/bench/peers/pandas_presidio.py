"""The work of ``data_peers`` as a pandas program that takes its recognisers from Presidio. Runs in an environment of
its own. Arguments: the dataset, a folder, how many rows of it. Prints JSON: ``seconds``, without imports, and ``rows``.

The texts that a regular expression lets through are looked at by Presidio's pattern recognisers, called directly,
without a language model; what has their score of 0.4 at least is masked. Pandas does the rest as in ``with_pandas``.
"""

import json
import logging
import re
import sys
import time
import unicodedata
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import tldextract

logging.disable(logging.CRITICAL)
# Its list of domains is fetched from the network otherwise.
tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())

from presidio_analyzer.predefined_recognizers import (  # noqa: E402
    CreditCardRecognizer,
    EmailRecognizer,
    IpRecognizer,
    PhoneRecognizer,
)

LEAST = 0.4
CUE = r"@|[0-9][^0-9A-Za-z]{0,3}(?:[0-9][^0-9A-Za-z]{0,3}){5}[0-9]|[0-9]\.[0-9]{1,3}\.[0-9]|:[0-9A-Fa-f]{0,4}:"
UNWANTED = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff]+")
RECOGNISERS = [EmailRecognizer(), PhoneRecognizer(), CreditCardRecognizer(), IpRecognizer()]


def normalised(text):
    return unicodedata.normalize("NFC", " ".join(UNWANTED.sub("", text).split()))


def masked(text):
    found = [
        (result.start, result.end, result.entity_type)
        for one in RECOGNISERS
        for result in one.analyze(text, one.supported_entities, None) or ()
        if result.score >= LEAST
    ]
    last = len(text)
    for start, end, kind in sorted(found, reverse=True):
        if end <= last:
            text, last = f"{text[:start]}<{kind}>{text[end:]}", start
    return text


def prepare(dataset, folder, rows):
    batches = pq.ParquetFile(next(dataset.glob("data/*.parquet"))).iter_batches(batch_size=rows)
    frame = next(batches).to_pandas()
    for column in ("text", "label"):
        frame[column] = frame[column].map(normalised)
    frame = frame[(frame["text"] != "") & (frame["label"] != "")]
    looked_at = frame["text"].str.contains(CUE, regex=True)
    frame.loc[looked_at, "text"] = frame.loc[looked_at, "text"].map(masked)
    frame = frame.drop_duplicates(["text", "label"])
    frame = frame[~frame.duplicated("text", keep=False)]
    frame.to_parquet(folder / "prepared.parquet", compression="zstd", compression_level=1, index=False)


if __name__ == "__main__":
    dataset, folder, rows = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    for one in RECOGNISERS:
        one.analyze("warm a@example.com 8.8.8.8 +1 415 555 2671", one.supported_entities, None)
    pd.Series(["warm"]).str.contains(CUE, regex=True)
    begun = time.perf_counter()
    prepare(dataset, folder, rows)
    print(json.dumps({"seconds": time.perf_counter() - begun, "rows": rows}))
