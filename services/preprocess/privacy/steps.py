"""Which row steps a recipe's ``privacy`` section makes."""

from __future__ import annotations

from collections.abc import Mapping

from services.preprocess.change import RowStep
from services.preprocess.privacy.columns_step import columns_step
from services.preprocess.privacy.entities import structural
from services.preprocess.privacy.entities_step import entities_step
from services.preprocess.privacy.numbers import NumberSample
from services.preprocess.privacy.text_scan import TextScan
from services.preprocess.privacy.treatment import KEYED, needed
from tidemill.contracts.privacy import ColumnPrivacy, EntityName, Privacy, Treatment
from tidemill.datasets import DatasetSchema


def privacy_steps(
    privacy: Privacy, schema: DatasetSchema, key: bytes | None, numbers: Mapping[str, NumberSample] | None = None
) -> list[RowStep]:
    """The steps: one for what is found in texts and numbers, one for ``privacy.columns``; none for what is not asked.

    ``numbers``: the first values of columns of numbers, see ``numbers.kinds_in``. The steps are pure, and can be
    pickled together with the key that they hold. Where ``makes_tokens(privacy)``, they fill the hidden column
    ``tokens.TOKENS``.

    Raises:
        InvalidInput: a treatment needs a key, a region is no country.
    """
    if key is None and KEYED & set(_treatments(privacy)):
        needed(key)
    regions = tuple(privacy.regions)
    structural(privacy.looked_for, regions)
    rules = {name: _rule(rule) for name, rule in privacy.columns.items()}
    steps: list[RowStep] = []
    if privacy.looked_for:
        scan = TextScan(entity_treatments(privacy), regions, key, privacy.model)
        steps.append(entities_step(scan, schema, apart=frozenset(rules), numbers=numbers or {}))
    if rules:
        tokens_before = bool(privacy.looked_for) and "token" in entity_treatments(privacy).values()
        steps.append(columns_step(rules, schema, regions, key, tokens_before=tokens_before))
    return steps


def makes_tokens(privacy: Privacy) -> bool:
    """Whether the steps fill the hidden column of tokens, so that there will be a vault."""
    return "token" in _treatments(privacy)


def needs_key(privacy: Privacy) -> bool:
    """Whether any treatment is keyed, so that ``privacy.key`` has to be read."""
    return bool(KEYED & set(_treatments(privacy)))


def entity_treatments(privacy: Privacy) -> dict[EntityName, Treatment]:
    """What happens to each entity that is looked for."""
    return {name: privacy.entities.get(name, privacy.treatment) for name in privacy.looked_for}


def _treatments(privacy: Privacy) -> list[Treatment]:
    return [*entity_treatments(privacy).values(), *(_rule(rule).treatment for rule in privacy.columns.values())]


def _rule(rule: ColumnPrivacy | Treatment) -> ColumnPrivacy:
    return rule if isinstance(rule, ColumnPrivacy) else ColumnPrivacy(treatment=rule)
