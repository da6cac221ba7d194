"""Names and addresses of people: a model finds them, Faker's lists invent others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module

from services.preprocess.privacy.entities.entity import Entity
from services.preprocess.privacy.key import Draw

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_SPACES = re.compile(r"\s+")


def fake_name(value: str, draw: Draw) -> str:
    """A name of as many words, at most three; Chinese for a Chinese one."""
    if _CHINESE.search(value):
        return _one("person.zh_CN", "last_names", draw) + _one("person.zh_CN", "first_names", draw)
    words = max(1, min(3, len(value.split())))
    given = [_one("person.en_US", "first_names", draw) for _ in range(max(1, words - 1))]
    name = " ".join([*given, _one("person.en_US", "last_names", draw)] if words > 1 else given)
    return name.lower() if value.islower() else name


def _fake_address(value: str, draw: Draw) -> str:
    number = draw.below(998) + 1
    if _CHINESE.search(value):
        return f"{_one('person.zh_CN', 'last_names', draw)}{_one('address.zh_CN', 'street_suffixes', draw)}{number}号"
    street = f"{_one('person.en_US', 'last_names', draw)} {_one('address.en_US', 'street_suffixes', draw)}"
    return f"{number} {street}"


def _one(provider: str, names: str, draw: Draw) -> str:
    choices = _choices(provider, names)
    return choices[draw.below(len(choices))]


@lru_cache(maxsize=16)
def _choices(provider: str, names: str) -> tuple[str, ...]:
    found: Mapping[str, float] | Sequence[str] = getattr(import_module(f"faker.providers.{provider}").Provider, names)
    return tuple(sorted(set(found)))


def _canonical(value: str) -> str:
    return _SPACES.sub(" ", value).strip().casefold()


PERSON = Entity(
    name="person",
    canonical=_canonical,
    generalise=lambda value: None,
    fake=fake_name,
    reserved=lambda value: False,
)
ADDRESS = Entity(
    name="address",
    canonical=_canonical,
    generalise=lambda value: None,
    fake=_fake_address,
    reserved=lambda value: False,
)
