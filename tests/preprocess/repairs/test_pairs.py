"""Pairs that are no translations go."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

ROLES = {"source": "en", "target": "zh"}


def translated(repair, *pairs: tuple[str | None, str | None]):
    table = pa.table([pa.array(side, pa.string()) for side in zip(*pairs, strict=True)], names=["en", "zh"])
    return repair("translation", ROLES, table)


def test_pairs_with_an_empty_side_go(repair) -> None:
    result = translated(
        repair, ("Hi.", "嗨。"), ("", "嗨。"), ("Hi.", " \t"), (None, "嗨。"), ("Hi.", None), ("Hi.", "\u3000")
    )
    assert result.rows == [{"en": "Hi.", "zh": "嗨。"}]
    assert result.removed == {"remove empty pairs": 5}


def test_pairs_with_the_same_text_twice_go(repair) -> None:
    result = translated(repair, ("Tom", " Tom "), ("Tom", "汤姆"))
    assert result.rows == [{"en": "Tom", "zh": "汤姆"}]
    assert result.removed == {"remove copies": 1}


def test_pairs_of_very_different_lengths_go_in_either_direction(repair) -> None:
    long = "This sentence is about something else altogether, and about much more than that."
    idiom = ("It's one thing to make plans, but quite another to carry them out.", "知易行难。")
    result = translated(
        repair, (long, "好。"), ("Ok.", "他好坏不分,什么都不知道,也什么都不想知道,谁说都没有用。"), idiom
    )
    assert [(row["en"], row["zh"]) for row in result.rows] == [idiom]
    assert result.removed == {"remove unequal lengths": 2}


def test_no_pair_of_tatoeba_goes(real_data: Path, repair) -> None:
    lines = (real_data / "tatoeba_cmn_eng" / "cmn.txt").read_text("utf-8").splitlines()
    result = translated(repair, *(tuple(line.split("\t")[:2]) for line in lines))
    assert len(result.rows) == len(lines) == 32_028
    assert result.removed == {}
