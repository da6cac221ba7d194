"""Which language a text is in, as far as that can be told: by script for Chinese, Japanese and Korean, else by langid.

A text is taken for another language only on evidence: short texts, numbers and emoji have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from daft import DataType, Expression, Series, col, func, lit
from daft import functions as fn

from services.preprocess.change import REMOVED, Change, RowStep, Step
from services.preprocess.rules.columns import Roles, listed
from services.preprocess.rules.identification import identifier, probability_of
from tidemill.datasets import Column
from tidemill.errors import InvalidInput

EVIDENCE = 10
"""How many times less likely than before it was read a text has to be in the languages that are kept. Of 15,060
English texts (SMS, banking questions, short sentences) that takes one for another language, and it is Tamil."""
_LOOKED_AT = 2_000
"""Characters of a text that langid sees: more do not change its mind."""
_HAN, _KANA, _HANGUL = r"\p{Han}", r"[\p{Hiragana}\p{Katakana}]", r"\p{Hangul}"


def languages(kept: Sequence[str], roles: Roles) -> RowStep:
    """Rows go whose text is in another language; those that are gone already are not looked at.

    Raises:
        InvalidInput: langid does not know a language.
    """
    unknown = [code for code in kept if code not in identifier().labels]
    if unknown:
        raise InvalidInput(
            f"data.text_rules.languages: {unknown[0]!r} is no language that can be told; use ISO 639-1 codes such as "
            "en, zh, de"
        )

    def make(columns: Mapping[str, Column]) -> Change:
        remove: Expression | None = None
        # In translation each side has a language of its own: the row stays when both are among those that are kept.
        for name in roles.texts:
            other = _elsewhere(col(name), kept)
            remove = other if remove is None else remove | other
        return Change(remove=remove)

    return Step("languages", f"texts in another language than {listed(kept)} go; short ones are kept in doubt", make)


def _elsewhere(text: Expression, kept: Sequence[str]) -> Expression:
    """Whether a text is in none of the languages."""
    han, kana, hangul = (fn.regexp_count(text, script) for script in (_HAN, _KANA, _HANGUL))
    letters = fn.regexp_count(text, r"\p{L}")
    east_asian = (han + kana + hangul) * 2 >= letters
    # Japanese is hardly ever written without kana, Korean hardly ever with many Han characters.
    by_script = (
        fn.when(letters == lit(0), lit(False))
        .when(kana * 10 > han, lit("ja" not in kept))
        .when(hangul > han, lit("ko" not in kept))
        .otherwise(lit("zh" not in kept))
    )
    asked = ~east_asian & (letters > lit(0)) & fn.is_null(col(REMOVED))
    return fn.when(east_asian, by_script).otherwise(_in_another(text, asked, sorted(set(kept))))


@func.batch(return_dtype=DataType.bool(), use_process=False)
def _in_another(text: Series, asked: Series, kept: list[str]) -> pa.Array:
    array, mask = text.to_arrow(), asked.to_arrow().fill_null(False)
    limit = len(set(kept)) / len(identifier().labels) / EVIDENCE
    texts = [value[:_LOOKED_AT] for value in array.filter(mask).to_pylist()]
    found = probability_of(kept, texts) < limit
    return pc.replace_with_mask(pa.array([False] * len(array), pa.bool_()), mask, pa.array(found, pa.bool_()))
