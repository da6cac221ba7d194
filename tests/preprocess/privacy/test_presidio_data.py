"""What is found in the labelled texts of presidio-research: recall and precision by kind, spans that overlap count."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow as pa
import pytest

from services.preprocess.privacy import find
from tidemill.contracts.privacy import STRUCTURAL

KINDS = {
    "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "CREDIT_CARD": "payment_card", "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip_address", "US_SSN": "us_ssn",
}  # fmt: skip
REQUIRED = dict.fromkeys(KINDS.values(), 0.95) | {"phone": 0.85}


@pytest.mark.parametrize("name", ["generated_large", "generated_small", "synth_dataset_v2"])
def test_recall_and_precision_on_labelled_texts(real_data, name):
    rows = json.loads((real_data / "pii_presidio_synth" / f"{name}.json").read_text(encoding="utf-8"))
    findings = find(pa.array([row["full_text"] for row in rows]), STRUCTURAL, ["US", "GB", "CN", "DE"])
    found = list(zip(findings.rows.tolist(), findings.starts, findings.ends, findings.entities, strict=True))
    labelled = [
        (at, span["start_position"], span["end_position"], KINDS[span["entity_type"]])
        for at, row in enumerate(rows)
        for span in row["spans"]
        if span["entity_type"] in KINDS
    ]
    hit = Counter(one[3] for one in labelled if any(_same(one, other) for other in found))
    right = Counter(one[3] for one in found if any(_same(one, other) for other in labelled))
    wanted, given = Counter(one[3] for one in labelled), Counter(one[3] for one in found)
    for kind in wanted:
        assert hit[kind] / wanted[kind] >= REQUIRED[kind], kind
        assert right[kind] / given[kind] >= REQUIRED[kind], kind


def _same(one: tuple[int, int, int, str], other: tuple[int, int, int, str]) -> bool:
    return one[0] == other[0] and one[3] == other[3] and one[1] < other[2] and other[1] < one[2]
