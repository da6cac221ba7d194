"""The recipe's words for personal data: what is looked for, and what happens to it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tidemill.contracts.section import Section

EntityName = Literal[
    "email", "phone", "payment_card", "iban", "ip_address", "us_ssn", "uk_nino", "uk_nhs", "cn_resident_id",
    "de_tax_id", "de_id_card", "person", "address",
]  # fmt: skip
"""``person`` and ``address`` need ``privacy.model``."""

STRUCTURAL: tuple[EntityName, ...] = (
    "email", "phone", "payment_card", "iban", "ip_address", "us_ssn", "uk_nino", "uk_nhs", "cn_resident_id",
    "de_tax_id", "de_id_card",
)  # fmt: skip
"""Found by their form and their check digits, without a model."""

Treatment = Literal["keep", "mask", "hash", "generalise", "fake", "token", "drop"]
"""``mask``: ``<EMAIL>``; ``<NAME>`` in a column ``name``. ``hash``: a keyed HMAC-SHA256, cut to 16 hex digits.
``generalise``: only the unspecific part (a mail's domain, a card's last four digits, a network of an address, the range
of a number, the decade of a date), a mask where there is none. ``fake``: an invented one, the same for the same value,
from ranges that nobody is given where there are any. ``token``: a reversible token whose value is in the vault.
``drop``: the row goes; for a whole column, the column goes."""


class ColumnPrivacy(Section):
    """What happens to all of a column, whatever is in it."""

    treatment: Treatment
    step: float | None = Field(default=None, gt=0)
    """Width of the ranges that ``generalise`` makes of numbers, and years of those of dates; 10 when absent."""
    keep_characters: int | None = Field(default=None, ge=0)
    """First characters of a text that ``generalise`` leaves, such as 3 of a postcode."""

    @model_validator(mode="after")
    def _generalises(self) -> ColumnPrivacy:
        if self.treatment != "generalise" and not (self.step is None and self.keep_characters is None):
            raise ValueError(f"step and keep_characters are for treatment: generalise, not for {self.treatment}")
        return self


class Anonymity(Section):
    """What the report measures of a table, and what a version must reach."""

    quasi_identifiers: list[str] = Field(min_length=1)
    """Columns that together could single out a person."""
    sensitive: str | None = None
    k: int = Field(default=5, ge=2)
    """Rows that share each combination of quasi-identifiers at least."""
    l: int | None = Field(default=None, ge=2)  # noqa: E741 - l-diversity is the term
    """Distinct sensitive values in each combination at least."""
    action: Literal["report", "suppress", "fail"] = "report"
    """``suppress`` drops the rows of combinations that are too small."""

    @model_validator(mode="after")
    def _l_needs_a_column(self) -> Anonymity:
        if self.l is not None and self.sensitive is None:
            raise ValueError("l needs the column with the sensitive value: anonymity: {sensitive: <column>}")
        return self


class Privacy(Section):
    """Personal data in the prepared dataset. Nothing is looked for unless the section says so."""

    detect: list[EntityName] | Literal["none", "structural"] = "none"
    """What is looked for in texts, and in columns of numbers that hold it; ``structural`` is everything that needs no
    model."""
    treatment: Treatment = "mask"
    """What happens to what is found."""
    entities: dict[EntityName, Treatment] = Field(default_factory=dict)
    """Where it differs for one kind."""
    columns: dict[str, ColumnPrivacy | Treatment] = Field(default_factory=dict)
    """Columns that are personal data as a whole; they are not looked through for entities as well."""
    regions: list[str] = Field(default_factory=lambda: ["US", "GB", "CN", "DE"])
    """Countries whose national phone numbers are recognised; international ones always are."""
    key: str | None = None
    """Where the key of ``hash``, ``fake`` and ``token`` is: ``env:NAME`` or ``file:/path`` on the preprocess service's
    machine; never the key itself. Over HTTP ``env:TIDEMILL_PRIVACY_…``, except from this machine's user."""
    model: str | None = None
    """A token-classification model for names and addresses (``config.json``, ``tokenizer.json``, ``model.onnx``): a
    folder on the preprocess service's machine, written as a path, or a hub id; over HTTP as ``model.base``."""
    anonymity: Anonymity | None = None

    @model_validator(mode="after")
    def _keyed(self) -> Privacy:
        treatments = [self.treatment if self.detect != "none" else "keep", *self.entities.values()]
        treatments += [rule if isinstance(rule, str) else rule.treatment for rule in self.columns.values()]
        if self.key is None and {"hash", "fake", "token"} & set(treatments):
            raise ValueError("hash, fake and token need a key: privacy: {key: env:NAME}")
        if self.key is not None and not self.key.startswith(("env:", "file:/")):
            raise ValueError("key is a reference, env:NAME or file:/path, never the key itself")
        if self.model is None and isinstance(self.detect, list) and {"person", "address"} & set(self.detect):
            raise ValueError("person and address need a model: privacy: {model: <folder or hub id>}")
        return self

    @model_validator(mode="after")
    def _looks_for_what_it_names(self) -> Privacy:
        vain = [name for name in self.entities if name not in self.looked_for]
        if vain:
            raise ValueError(
                f"entities says what happens to {', '.join(vain)}, which nobody looks for: name it in privacy.detect"
            )
        if self.model is not None and not {"person", "address"} & set(self.looked_for):
            raise ValueError("model finds person and address, which nobody looks for: name them in privacy.detect")
        return self

    @property
    def protects(self) -> bool:
        """Whether personal data is looked for, or columns are personal data as a whole."""
        return bool(self.looked_for or self.columns)

    @property
    def looked_for(self) -> tuple[EntityName, ...]:
        """The entities that are looked for, in the order in which they are tried."""
        if isinstance(self.detect, list):
            return tuple(dict.fromkeys(self.detect))
        return STRUCTURAL if self.detect == "structural" else ()
