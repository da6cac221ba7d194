"""The kinds of personal data that are recognised by their form, a module for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from services.preprocess.privacy.entities import (
    china,
    email,
    germany,
    iban,
    ip_address,
    payment_card,
    person,
    phone,
    united_kingdom,
    united_states,
)
from services.preprocess.privacy.entities.entity import Entity, Span, StructuralEntity
from tidemill.contracts.privacy import EntityName

__all__ = ["SPECIFICITY", "Entity", "Span", "StructuralEntity", "structural", "with_model"]

SPECIFICITY: tuple[EntityName, ...] = (
    "iban", "email", "cn_resident_id", "payment_card", "ip_address", "us_ssn", "uk_nino", "de_id_card", "de_tax_id",
    "uk_nhs", "phone", "address", "person",
)  # fmt: skip
"""The most specific first: of two findings that are equally long and equally sure, the earlier one stands."""


def structural(names: Iterable[EntityName], regions: Sequence[str]) -> tuple[StructuralEntity, ...]:
    """The entities of these names that need no model, in the order of ``SPECIFICITY``.

    Raises:
        InvalidInput: a region is not a country that has phone numbers.
    """
    return _structural(tuple(sorted(set(names))), tuple(dict.fromkeys(regions)))


@lru_cache(maxsize=64)
def _structural(names: tuple[EntityName, ...], regions: tuple[str, ...]) -> tuple[StructuralEntity, ...]:
    known: dict[EntityName, StructuralEntity] = {
        one.name: one
        for one in (
            email.EMAIL, payment_card.PAYMENT_CARD, iban.IBAN, ip_address.IP_ADDRESS, united_states.SSN,
            united_kingdom.NINO, united_kingdom.NHS_NUMBER, china.RESIDENT_ID, germany.TAX_ID, germany.ID_CARD,
        )
    }  # fmt: skip
    if "phone" in names:
        known["phone"] = phone.phone(regions)
    return tuple(known[name] for name in SPECIFICITY if name in names and name in known)


def with_model(names: Iterable[EntityName]) -> tuple[Entity, ...]:
    """The entities of these names that only a model finds."""
    wanted = set(names)
    return tuple(one for one in (person.ADDRESS, person.PERSON) if one.name in wanted)
