"""The API keys that a project's chain of decisions tells of. Pure functions; knows neither store nor bus."""

from __future__ import annotations

from datetime import datetime

from services.registry.chain import Chain
from tidemill.contracts import AccessKey, KeyGrant
from tidemill.errors import InvalidInput, NotFound
from tidemill.records.schema import KeyIssued, KeyRevoked


def issued_keys(project: str, chain: Chain) -> dict[str, AccessKey]:
    """Every key that was ever issued, by id, in the order of their issue."""
    keys: dict[str, AccessKey] = {}
    for record in chain:
        decision = record.decision
        if isinstance(decision, KeyIssued):
            keys[decision.key_id] = AccessKey(
                project=project,
                key_id=decision.key_id,
                digest=decision.digest,
                grant=decision.grant,
                issued_at=record.at,
                issued_by=decision.actor,
                replaces=decision.replaces,
            )
            if decision.replaces in keys and decision.replaced_until is not None:
                keys[decision.replaces] = _ended(
                    keys[decision.replaces], decision.replaced_until, f"replaced by key {decision.key_id}"
                )
        elif isinstance(decision, KeyRevoked) and decision.key_id in keys:
            keys[decision.key_id] = _ended(keys[decision.key_id], record.at, "revoked")
    return keys


def renewed(old: AccessKey, now: datetime) -> KeyGrant:
    """What the key that replaces ``old`` may do: the same, for as long again."""
    if old.grant.ends_at is None:
        return old.grant
    return old.grant.model_copy(update={"ends_at": now + (old.grant.ends_at - old.issued_at)})


def required(keys: dict[str, AccessKey], key_id: str) -> AccessKey:
    """The key of that id.

    Raises:
        NotFound: there is none.
    """
    if key_id not in keys:
        raise NotFound(f"there is no key {key_id!r}; `tidemill keys list` shows the ones there are")
    return keys[key_id]


def still_taken(key: AccessKey, now: datetime) -> AccessKey:
    """``key`` while it is taken.

    Raises:
        InvalidInput: it is not; says why.
    """
    refusal = key.refusal(now)
    if refusal is not None:
        raise InvalidInput(
            f"key {key.key_id} cannot be rotated: {refusal}; issue another one with `tidemill keys create`"
        )
    return key


def _ended(key: AccessKey, at: datetime, because: str) -> AccessKey:
    """The sooner end counts."""
    if key.ended_at is not None and key.ended_at <= at:
        return key
    return key.model_copy(update={"ended_at": at, "ended_because": because})
