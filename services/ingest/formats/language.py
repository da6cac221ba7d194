"""Which of the old encodings makes language of a sample of bytes. Knows letters, not files.

A wrong encoding of the same family decodes as well, but into rare letters: of the right one's letters a good share is
among the language's most frequent ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SIMPLIFIED = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多"
    "经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实很吗买给太被让快手机品货质服务"
)
_TRADITIONAL = frozenset(
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家種事成方多"
    "經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實很嗎買給太被讓快手機品貨質服務"
)
_KANA = frozenset(map(chr, (*range(0x3041, 0x3094), *range(0x30A1, 0x30FB))))
_HANGUL = frozenset(
    "이다는을를에의가은한하고지도로있었서나자기사그리해어인대라과들만일수정보시아없게것여주부전내오상면원스장요니했음제우구"
    "동무성신비공조연관마모안선분위생문화세계말으개경학반방소실용적제품물건배송좋빠른너무별정말최악추천습합입됩"
)
_CYRILLIC = frozenset("оеаинтсрвл")
"""The ten most frequent ones: two thirds of the letters of Russian, a third of Greek or Hebrew read as Russian."""
_GREEK = frozenset("αοιετσνηυρ")
_HEBREW = frozenset("יוהלאמתרבש")


@dataclass(frozen=True)
class _Script:
    encoding: str
    frequent: frozenset[str]
    least: float
    """Share of the letters above ASCII that are frequent ones in real text."""
    letters: float = 0.6
    """Share of letters in all that is above ASCII; the rest is punctuation, or boxes and signs where it is wrong."""
    high_seconds: float = 0.0
    """Share of characters whose second byte is above ASCII, too. An accented letter that is taken for a first byte has
    a plain letter behind it."""


_SCRIPTS = (
    _Script("gb18030", _SIMPLIFIED, 0.15, high_seconds=0.5),
    _Script("big5", _TRADITIONAL, 0.15, high_seconds=0.25),
    _Script("cp932", _KANA, 0.25),
    _Script("euc_jp", _KANA, 0.25),
    _Script("cp949", _HANGUL, 0.25, high_seconds=0.5),
    _Script("cp1251", _CYRILLIC, 0.5, letters=0.85),
    _Script("koi8_r", _CYRILLIC, 0.5, letters=0.85),
    _Script("cp866", _CYRILLIC, 0.5, letters=0.85),
    _Script("cp1253", _GREEK, 0.5, letters=0.85),
    _Script("cp1255", _HEBREW, 0.5, letters=0.85),
)
_LATIN = ("cp1252", "cp1250")
_ONLY_IN = {"cp1252": "àèêñùòìåæøãõïûÀÈÊÑÅÆØ", "cp1250": "ąćęłńśźżčěřšťůďňőűĄĆĘŁŃŚŹŻČĚŘŠŤŮĎŇŐŰ"}
"""Letters of western and of central European languages that stand for other bytes in the other encoding."""
_LATIN_EVIDENCE = 24
"""Bytes above 0x7f below which one western encoding cannot be told from another."""
_ALONE = re.compile(r"(?<![^\x00-\x7f])[^\x00-\x7f](?![^\x00-\x7f])")
"""An accent in a western word stands alone; letters of other scripts stand together."""
_ODD = re.compile(r"(?<=[A-Za-z])[“”„‚«»](?=[A-Za-z])|[¦¨¬¯±²³´¶¸¹¼½¾×÷†‡ˆ˜¤¢ˇ˘˛˝˙](?=[A-Za-z])")
"""Signs where a word has letters."""
_CLEARLY = 1.3
"""How much better the best has to be than the next."""


def likely_encodings(sample: bytes) -> list[str]:
    """The encodings that ``sample``, which is not UTF-8, is likely to have, best first; empty when it is not clear."""
    scores = {script.encoding: _share_of_frequent(sample, script) for script in _SCRIPTS}
    ranked = sorted((name for name in scores if scores[name] > 0), key=lambda name: scores[name], reverse=True)
    if ranked and (len(ranked) == 1 or scores[ranked[0]] >= _CLEARLY * scores[ranked[1]]):
        return ranked[:1]
    if ranked or sum(byte > 0x7F for byte in sample) < _LATIN_EVIDENCE:
        return []
    return _latin(sample)


def _share_of_frequent(sample: bytes, script: _Script) -> float:
    text = sample.decode(script.encoding, errors="replace")
    letters = [char for char in text if char > "\x7f" and char.isalpha()]
    high = sum(char > "\x7f" for char in text)
    if len(letters) < 4 or len(letters) < script.letters * high or text.count("\ufffd") > 0.02 * high:
        return 0.0
    if script.frequent in (_CYRILLIC, _GREEK, _HEBREW) and len(_ALONE.findall(text)) > 0.3 * len(letters):
        return 0.0
    if script.high_seconds:
        seconds = [each[1] for char in letters if len(each := char.encode(script.encoding, "ignore")) == 2]
        if sum(byte > 0x7F for byte in seconds) < script.high_seconds * len(letters):
            return 0.0
    share = sum(char in script.frequent for char in letters) / len(letters)
    return share if share >= script.least else 0.0


def _is_western(text: str, high: int) -> bool:
    """Whether of the ``high`` characters above ASCII most stand alone, and few are signs inside of words."""
    return 2 * len(_ALONE.findall(text)) >= high and len(_ODD.findall(text)) <= 0.05 * high


def _latin(sample: bytes) -> list[str]:
    from charset_normalizer import from_bytes

    matches = from_bytes(sample, cp_isolation=list(_LATIN))
    coherence = {match.encoding: match.coherence for match in matches}
    best = [encoding for encoding in coherence if coherence[encoding] == max(coherence.values())]
    text = {encoding: sample.decode(encoding, errors="replace") for encoding in _LATIN}
    high = sum(byte > 0x7F for byte in sample)
    if not any(_is_western(text[encoding], high) for encoding in best):
        return []
    if len(best) > 1:
        # Words do not tell them apart; letters that only one of the languages uses may.
        score = {encoding: sum(map(text[encoding].count, _ONLY_IN[encoding])) for encoding in _LATIN}
        best = [encoding for encoding in best if score[encoding] == max(score.values())]
    # German is the same bytes in all of them.
    return [encoding for encoding in _LATIN if {text[each] for each in best} == {text[encoding]}][:1]
