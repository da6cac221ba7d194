"""Lists of stop words, which models are served with as they were trained."""

from __future__ import annotations

import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import InvalidInput
from tidemill.texts import StopWords, normalize
from tidemill.texts.stop_words import LANGUAGES, kept_words, stop_words

PINNED = "9316ad422c7474bcbebc30dcbd677ae10915c8f6e02097c7b519ec5061cf5179"


def test_the_released_lists_do_not_change() -> None:
    lists = [*map(stop_words, LANGUAGES), kept_words()]
    text = "\n".join(" ".join(sorted(words)) for words in lists)
    assert hashlib.sha256(text.encode()).hexdigest() == PINNED, (
        "served models would see other texts than they were trained on: add a list of another name instead"
    )


def test_a_language_without_a_list_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"no list of stop words for 'ja'; there is one for de, en"):
        StopWords(["en", "ja"])


@given(st.text())
def test_a_normalised_text_stays_as_it_is(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


@pytest.mark.parametrize("piece", ["the ", "can't'", "l'", "的", "了", " ", "isn’", "a\u0301", "т"])
def test_long_requests_take_no_more_than_their_length(piece: str) -> None:
    remove, started = StopWords(LANGUAGES), time.process_time()
    remove(piece * 100_000)
    assert time.process_time() - started < 3
