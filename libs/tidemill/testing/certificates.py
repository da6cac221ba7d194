"""Certificates for tests: an authority of the test's own, and what it vouches for."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


class Authority:
    """A certificate authority below ``folder``; ``file`` is its certificate in PEM."""

    def __init__(self, folder: Path, name: str = "tests") -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.file = folder / f"{name}-ca.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def issue(self, name: str, *, host: str = "127.0.0.1", into: tuple[Path, Path] | None = None) -> tuple[Path, Path]:
        """A certificate for ``host`` with its key: their files, ``name.pem`` and ``name.key`` unless ``into`` says."""
        chain, key = into or (self._folder / f"{name}.pem", self._folder / f"{name}.key")
        _write(self._authority.issue_cert(host), chain, key)
        return chain, key


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
    authority.cert_pem.write_to_path(str(files.authority))
    _write(authority.issue_cert(*hosts), files.certificate, files.key)
    return files


def _write(certificate: trustme.LeafCert, chain: Path, key: Path) -> None:
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
        opened.write(certificate.private_key_pem.bytes())
    chain.write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
