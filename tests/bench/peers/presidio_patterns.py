"""Presidio's own pattern recognisers on a file of texts. Runs in Presidio's own environment, without a language model.

Arguments: a JSON file with a list of texts. Prints JSON: ``seconds`` and ``found``, lists of row, start, end, entity.
The recognisers are called directly, as their class documents it, and each thing found has their score of 0.4 at least.
"""

import json
import logging
import sys
import time
from pathlib import Path

import tldextract

logging.disable(logging.CRITICAL)
# Its list of domains is fetched from the network otherwise.
tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())

from presidio_analyzer.predefined_recognizers import (  # noqa: E402
    CreditCardRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    PhoneRecognizer,
    UsSsnRecognizer,
)

LEAST = 0.4

if __name__ == "__main__":
    texts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    recognisers = [
        kind()
        for kind in (
            CreditCardRecognizer,
            EmailRecognizer,
            IbanRecognizer,
            IpRecognizer,
            PhoneRecognizer,
            UsSsnRecognizer,
        )
    ]
    for one in recognisers:
        one.analyze("warm a@example.com 8.8.8.8 +1 415 555 2671", one.supported_entities, None)
    begun = time.perf_counter()
    found = [
        (row, result.start, result.end, result.entity_type)
        for row, text in enumerate(texts)
        for one in recognisers
        for result in one.analyze(text, one.supported_entities, None) or ()
        if result.score >= LEAST
    ]
    json.dump({"seconds": time.perf_counter() - begun, "found": found}, sys.stdout)
