"""Who a client is to the NATS server, and how it knows that it talks to the right one."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from tidemill.bus.subjects import inbox
from tidemill.errors import PermanentError

if TYPE_CHECKING:
    from faststream.security import BaseSecurity

    from tidemill.settings import PlatformSettings


@dataclass(frozen=True)
class Login:
    """An nkey, or a user with a password, or nobody; with ``ca``, the server has to prove itself by TLS.

    ``source`` is the client's name on the bus: it gets its answers below ``inbox(source)``.
    """

    source: str
    nkey_file: Path | None = None
    """A file that holds an nkey seed of a user; it goes before user and password."""
    user: str | None = None
    password: SecretStr | None = None
    ca: Path | None = None
    """Certificates of the authorities that may have signed the server's."""
    certificate: Path | None = None
    """The client's own certificate, for servers that ask for one; ``key`` is its private key."""
    key: Path | None = None

    @classmethod
    def of(cls, settings: PlatformSettings, source: str) -> Login:
        """What ``TIDEMILL_NATS_…`` say."""
        return cls(
            source=source, nkey_file=settings.nats_nkey_file, user=settings.nats_user,
            password=settings.nats_password, ca=settings.nats_ca, certificate=settings.nats_cert,
            key=settings.nats_key,
        )  # fmt: skip

    def check(self) -> None:
        """See that the files can be used, before a client tries for ever.

        Raises:
            PermanentError: one cannot be read, or is not what it ought to be; names it.
        """
        if self.nkey_file is not None:
            from tidemill.bus.nkeys import read_seed

            read_seed(self.nkey_file)
        self.tls()

    def tls(self) -> ssl.SSLContext | None:
        """The TLS settings; None without a CA.

        Raises:
            PermanentError: a certificate or key cannot be read; names the files.
        """
        if self.ca is None:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        except (OSError, ssl.SSLError) as error:
            raise PermanentError(
                f"TIDEMILL_NATS_CA: {self.ca} holds no certificates that can be read ({error})"
            ) from error
        if self.certificate is not None:
            try:
                context.load_cert_chain(self.certificate, self.key)
            except (OSError, ssl.SSLError) as error:
                raise PermanentError(
                    f"TIDEMILL_NATS_CERT {self.certificate} and TIDEMILL_NATS_KEY {self.key} cannot be used together "
                    f"({error})"
                ) from error
        return context

    def options(self) -> dict[str, Any]:
        """What ``nats.connect`` takes."""
        options: dict[str, Any] = {"inbox_prefix": inbox(self.source)}
        if self.nkey_file is not None:
            options["nkeys_seed"] = str(self.nkey_file)
        elif self.user and self.password is not None:
            options |= {"user": self.user, "password": self.password.get_secret_value()}
        context = self.tls()
        return options if context is None else options | {"tls": context}

    def security(self) -> BaseSecurity:
        """What FastStream takes."""
        from faststream.nats.security import NatsNKey, NatsSecurity, NatsUserPassword

        context = self.tls()
        if self.nkey_file is not None:
            return NatsNKey.from_file(self.nkey_file, ssl_context=context)
        if self.user and self.password is not None:
            return NatsUserPassword(self.user, self.password.get_secret_value(), ssl_context=context)
        return NatsSecurity(ssl_context=context)
