"""Certificates for tests: a certificate authority of their own, and servers' certificates that it signed."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class ServerFiles:
    """PEM files of a server: ``certificate`` with its chain, ``key``, and the ``authority`` that clients trust."""

    certificate: Path
    key: Path
    authority: Path

    def context(self) -> ssl.SSLContext:
        """A server's context with them."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.certificate, self.key)
        return made


def issued(folder: Path, *hosts: str) -> ServerFiles:
    """A certificate for ``hosts`` (names or addresses), by an authority that exists only for it."""
    folder.mkdir(parents=True, exist_ok=True)
    files = ServerFiles(folder / "server.pem", folder / "server.key", folder / "authority.pem")
    authority = trustme.CA()
    certificate = authority.issue_cert(*hosts)
    authority.cert_pem.write_to_path(str(files.authority))
    certificate.private_key_pem.write_to_path(str(files.key))
    for number, part in enumerate(certificate.cert_chain_pems):
        part.write_to_path(str(files.certificate), append=number > 0)
    files.key.chmod(0o600)
    return files
