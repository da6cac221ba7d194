"""API keys of a project, over HTTP: listed, issued, rotated, revoked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import quote

from tidemill.client.gateway import Gateway
from tidemill.contracts import KeyView, NewKey, Scope


class Keys:
    """The keys of one project, for callers with the scope ``admin``."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def list(self) -> list[KeyView]:
        """All keys, the last issued first, without their secrets."""
        return [KeyView.model_validate(key) for key in self._gateway.get("/v1/keys")]

    def create(
        self,
        name: str,
        scopes: Iterable[Scope],
        *,
        rate: str | None = None,
        body_bytes: int | None = None,
        expires_in: timedelta | str | None = None,
    ) -> NewKey:
        """Issue a key; the only time that it is shown.

        ``rate`` as ``10/s``, ``600/m``, ``1000/h``, at each gateway; ``expires_in`` a duration (``90d``).

        Raises:
            InvalidInput: something of it cannot be read.
            TransientError: NATS is away; nothing was issued.
        """
        document = {
            "name": name, "scopes": list(scopes), "rate": rate, "body_bytes": body_bytes,
            "expires_in": _written(expires_in),
        }  # fmt: skip
        wanted = {field: value for field, value in document.items() if value is not None}
        return NewKey.model_validate(self._gateway.post("/v1/keys", wanted))

    def rotate(self, key_id: str, *, grace: timedelta | str | None = None) -> NewKey:
        """Issue a key that may do what another one may, which is taken for ``grace`` (a day) longer.

        Raises:
            NotFound: there is no such key.
            InvalidInput: it was revoked or has ended.
        """
        wanted = {"grace": _written(grace)} if grace is not None else None
        return NewKey.model_validate(self._gateway.post(f"/v1/keys/{quote(key_id, safe='')}:rotate", wanted))

    def revoke(self, key_id: str) -> None:
        """Take a key no longer.

        Raises:
            NotFound: there is no such key.
        """
        self._gateway.delete(f"/v1/keys/{quote(key_id, safe='')}")


def _written(duration: timedelta | str | None) -> float | str | None:
    return duration.total_seconds() if isinstance(duration, timedelta) else duration
