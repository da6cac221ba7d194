"""Texts with planted near duplicates: typed edits, and the truth about them, computed one pair at a time."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Planted:
    """Texts in a random order; ``origin``: which text each was made of."""

    texts: list[str]
    origin: list[int]
    shingles: list[frozenset[tuple[str, ...]]]

    def jaccard(self, left: int, right: int) -> float:
        mine, others = self.shingles[left], self.shingles[right]
        return len(mine & others) / len(mine | others)

    def pairs_of_one_origin(self) -> list[tuple[int, int]]:
        positions = defaultdict(list)
        for position, origin in enumerate(self.origin):
            positions[origin].append(position)
        return [pair for own in positions.values() for pair in combinations(own, 2)]


def plant(language: str, *, texts: int, seed: int, shingle: int = 3) -> Planted:
    """``texts`` texts of 8 to 40 words, half of them with one to three copies with edits of 0 to 20 % of the words."""
    random_ = random.Random(seed)
    vocabulary = chinese() if language == "zh" else english(random_)
    made: list[tuple[int, list[str]]] = []
    for origin in range(texts):
        words = random_.choices(vocabulary, k=random_.randint(8, 40))
        made.append((origin, words))
        for _ in range(random_.randint(1, 3) if origin % 2 else 0):
            made.append((origin, edited(words, random_.uniform(0, 0.2), vocabulary, random_)))
    random_.shuffle(made)
    return Planted(
        texts=[written(words, language, random_) for _, words in made],
        origin=[origin for origin, _ in made],
        shingles=[
            frozenset(tuple(words[i : i + shingle]) for i in range(max(1, len(words) - shingle + 1)))
            for _, words in made
        ],
    )


def edited(words: list[str], share: float, vocabulary: list[str], random_: random.Random) -> list[str]:
    words = list(words)
    for _ in range(round(share * len(words))):
        place = random_.randrange(len(words))
        kind = random_.choice(("letters", "replace", "delete", "insert"))
        if kind == "letters" and len(words[place]) > 2:
            at = random_.randrange(len(words[place]) - 1)
            word = words[place]
            words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        elif kind == "delete":
            del words[place]
        elif kind == "insert":
            words.insert(place, random_.choice(vocabulary))
        else:
            words[place] = random_.choice(vocabulary)
    return words


def written(words: list[str], language: str, random_: random.Random) -> str:
    """The words as somebody would write them: case, punctuation and spaces vary."""
    if language == "zh":
        return "".join(word + random_.choice(("", "", "", "，", "")) for word in words) + random_.choice("。！？")
    text = " ".join(word + random_.choice(("", "", "", "", ",")) for word in words)
    return random_.choice((text, text.capitalize(), text.upper())) + random_.choice((".", "!", " ...", ""))


def english(random_: random.Random) -> list[str]:
    syllables = [a + b for a in "bdfglmnprstv" for b in "aeiou"]
    return sorted({"".join(random_.choices(syllables, k=random_.randint(1, 4))) for _ in range(4000)})


def chinese() -> list[str]:
    return [chr(0x4E00 + 7 * number) for number in range(1500)]
