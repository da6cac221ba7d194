"""A development CA and the certificates that it signs for the servers of a platform.

For machines where nobody else hands out certificates. Names and lifetimes follow the CA/Browser Forum's baseline
requirements where they matter to clients: names are in the subject alternative name, keys are P-256.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tidemill.errors import InvalidInput, PermanentError
from tidemill.private_files import replace

SERVERS = ("nats", "postgres", "store", "gateway")
CLIENTS = ("client",)
"""One certificate for clients of servers that ask for one."""
LOCAL = ("localhost", "127.0.0.1", "::1")
CA_DAYS = 3650
DAYS = 397
RENEWED_BEFORE = timedelta(days=30)
_BACKDATED = timedelta(minutes=5)
"""Clocks of different machines differ."""

_SERVES = (ExtendedKeyUsageOID.SERVER_AUTH,)
_USAGES = {
    "nats": (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),  # servers of a cluster call each other
    "client": (ExtendedKeyUsageOID.CLIENT_AUTH,),
}

Done = Literal["made", "kept", "renewed"]


@dataclass(frozen=True)
class Issued:
    """A certificate in the folder, and what was done about it."""

    name: str
    done: Done
    certificate: Path
    key: Path
    until: datetime


def issue(folder: Path, hosts: Sequence[str] = (), *, days: int = DAYS, now: datetime | None = None) -> list[Issued]:
    """Make what is missing in ``folder``: ``ca.crt`` and, signed by it, ``<name>.crt`` and ``.key`` of every server.

    Each server's is for its own name, this machine's loopback names and ``hosts``. One that ends within 30 days, or
    lacks one of the names, is renewed; the CA is never replaced.

    Raises:
        InvalidInput: a host is none.
        PermanentError: the folder cannot be used, or holds a CA that cannot sign (no key, ended, another's).
    """
    now = now or datetime.now(UTC)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = _authority(folder, now)
        issued = [authority.issued]
        for name in SERVERS:
            issued.append(authority.leaf(name, _names([name, *LOCAL, *hosts]), now, days=days))
        issued += [authority.leaf(name, [], now, days=days) for name in CLIENTS]
    except OSError as error:
        raise PermanentError(f"certificates cannot be written to {folder}: {error.strerror or error}") from error
    return issued


@dataclass(frozen=True)
class _Authority:
    folder: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    issued: Issued

    def leaf(self, name: str, names: list[x509.GeneralName], now: datetime, *, days: int) -> Issued:
        """The certificate of a server, or of clients when it has no names."""
        path, key_path = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        there = _read(path) if path.exists() and key_path.exists() else None
        if there is not None and self._stands(there, names, now):
            return Issued(name, "kept", path, key_path, there.not_valid_after_utc)
        key = ec.generate_private_key(ec.SECP256R1())
        until = min(now + timedelta(days=days), self.certificate.not_valid_after_utc)
        builder = (
            _builder(name, key, now, until)
            .issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(_USAGES.get(name, _SERVES)), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        made = builder.sign(self.key, hashes.SHA256())
        replace(key_path, _pem(key), mode=0o600)
        replace(path, made.public_bytes(serialization.Encoding.PEM), mode=0o644)
        return Issued(name, "made" if there is None else "renewed", path, key_path, until)

    def _stands(self, there: x509.Certificate, names: list[x509.GeneralName], now: datetime) -> bool:
        if there.not_valid_after_utc - now < min(RENEWED_BEFORE, self.certificate.not_valid_after_utc - now):
            return False
        try:
            there.verify_directly_issued_by(self.certificate)
        except Exception:  # another CA's; of several kinds
            return False
        try:
            held = set(there.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except x509.ExtensionNotFound:
            held = set()
        return set(names) <= held


def _authority(folder: Path, now: datetime) -> _Authority:
    path, key_path = folder / "ca.crt", folder / "ca.key"
    if not path.exists() and not key_path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        until = now + timedelta(days=CA_DAYS)
        name = f"Tidemill development CA {x509.random_serial_number():x}"[:48]
        builder = (
            _builder(name, key, now, until)
            .issuer_name(_named(name))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
        )
        certificate = builder.sign(key, hashes.SHA256())
        replace(key_path, _pem(key), mode=0o600)
        replace(path, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
        return _Authority(folder, certificate, key, Issued("ca", "made", path, key_path, until))
    if not key_path.exists() or not path.exists():
        lost = path if not path.exists() else key_path
        raise PermanentError(
            f"{lost} is missing, so this CA cannot sign; bring it back, or choose another folder: a new CA has to be "
            "made known to every client"
        )
    certificate = _read(path)
    try:
        signer = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (ValueError, TypeError):
        raise PermanentError(f"{key_path} holds no private key that can be read without a password") from None
    if not isinstance(signer, ec.EllipticCurvePrivateKey) or signer.public_key() != certificate.public_key():
        raise PermanentError(f"{key_path} is not the key of {path}")
    if certificate.not_valid_after_utc - now < timedelta(days=1):
        raise PermanentError(
            f"the CA {path} ended, or ends, on {certificate.not_valid_after_utc:%Y-%m-%d}; make another one in a new "
            "folder and make it known to every client"
        )
    kept = Issued("ca", "kept", path, key_path, certificate.not_valid_after_utc)
    return _Authority(folder, certificate, signer, kept)


def _builder(name: str, key: ec.EllipticCurvePrivateKey, now: datetime, until: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tidemill"),
        x509.NameAttribute(NameOID.COMMON_NAME, name),
    ])  # fmt: skip


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    names: dict[str, x509.GeneralName] = {}
    for host in hosts:
        try:
            names[host] = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            if not host or not all(
                part and part.replace("-", "").isalnum() for part in host.removeprefix("*.").split(".")
            ):
                raise InvalidInput(
                    f"--host {host!r}: give a host name or an IP address, without scheme or port"
                ) from None
            names[host] = x509.DNSName(host.encode("idna").decode() if not host.isascii() else host)
    return list(names.values())


def _read(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        raise PermanentError(f"{path} holds no certificate; move it away, and it is made again") from None


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
