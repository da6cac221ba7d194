"""The development CA: what its certificates say, when they are renewed, and what a TLS client makes of them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tidemill.cli import main
from tidemill.errors import InvalidInput, PermanentError
from tidemill.platform.certificates import CLIENTS, RENEWED_BEFORE, SERVERS, issue


def done(folder: Path, **options: object) -> dict[str, str]:
    return {one.name: one.done for one in issue(folder, **options)}  # type: ignore[arg-type]


def read(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())


async def handshake(folder: Path, name: str, *, ca: Path, host: str = "localhost") -> None:
    """A TLS client that trusts ``ca`` greets a server with the certificate of ``name``."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(b"hello\n")
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server)
    try:
        port = listening.sockets[0].getsockname()[1]
        context = ssl.create_default_context(cafile=ca)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
        assert await reader.readline() == b"hello\n"
        writer.close()
    finally:
        listening.close()


def test_keys_are_private_and_certificates_say_what_they_are_for(tmp_path: Path) -> None:
    assert set(done(tmp_path, hosts=["nats.example.org", "10.0.0.7"]).values()) == {"made"}
    for name in ("ca", *SERVERS, *CLIENTS):
        assert (tmp_path / f"{name}.key").stat().st_mode & 0o777 == 0o600
    ca = read(tmp_path, "ca")
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert ca.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    nats = read(tmp_path, "nats")
    assert not nats.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not nats.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    names = nats.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"nats", "localhost", "nats.example.org"} == set(names.get_values_for_type(x509.DNSName))
    assert {"127.0.0.1", "::1", "10.0.0.7"} == {str(one) for one in names.get_values_for_type(x509.IPAddress)}
    usages = {name: read(tmp_path, name).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
              for name in ("nats", "postgres", "client")}  # fmt: skip
    assert {name: sorted(one._name for one in usage) for name, usage in usages.items()} == {
        "nats": ["clientAuth", "serverAuth"], "postgres": ["serverAuth"], "client": ["clientAuth"],
    }  # fmt: skip
    lifetime = nats.not_valid_after_utc - nats.not_valid_before_utc
    assert timedelta(days=390) < lifetime < timedelta(days=399)


def test_what_is_there_stays_what_ends_soon_or_lacks_a_name_is_renewed(tmp_path: Path) -> None:
    issue(tmp_path)
    before = {name: read(tmp_path, name) for name in ("ca", *SERVERS)}
    assert set(done(tmp_path).values()) == {"kept"}
    late = datetime.now(UTC) + timedelta(days=397) - RENEWED_BEFORE + timedelta(hours=1)
    again = done(tmp_path, now=late)
    assert again.pop("ca") == "kept"
    assert set(again.values()) == {"renewed"}
    assert read(tmp_path, "ca") == before["ca"]
    assert read(tmp_path, "nats") != before["nats"]
    another = done(tmp_path, now=late, hosts=["gateway.example.org"])
    assert {another[name] for name in SERVERS} == {"renewed"}
    assert another["client"] == "kept"
    (tmp_path / "store.key").unlink()
    assert done(tmp_path, now=late, hosts=["gateway.example.org"])["store"] == "made"


def test_a_ca_is_never_replaced(tmp_path: Path) -> None:
    issue(tmp_path)
    ca = (tmp_path / "ca.crt").read_bytes()
    with pytest.raises(PermanentError, match=r"the CA .*ca\.crt ended.*new folder"):
        issue(tmp_path, now=datetime.now(UTC) + timedelta(days=3660))
    key = (tmp_path / "ca.key").read_bytes()
    (tmp_path / "ca.key").unlink()
    with pytest.raises(PermanentError, match=r"ca\.key is missing"):
        issue(tmp_path)
    (tmp_path / "ca.key").write_bytes((tmp_path / "nats.key").read_bytes())
    with pytest.raises(PermanentError, match="is not the key of"):
        issue(tmp_path)
    (tmp_path / "ca.key").write_text("no key")
    with pytest.raises(PermanentError, match="holds no private key"):
        issue(tmp_path)
    (tmp_path / "ca.key").write_bytes(key)
    assert set(done(tmp_path).values()) == {"kept"}
    assert (tmp_path / "ca.crt").read_bytes() == ca


def test_certificates_of_another_ca_are_made_anew(tmp_path: Path) -> None:
    issue(tmp_path / "a")
    issue(tmp_path / "b")
    for kind in ("crt", "key"):
        (tmp_path / "a" / f"nats.{kind}").write_bytes((tmp_path / "b" / f"nats.{kind}").read_bytes())
    again = done(tmp_path / "a")
    assert again.pop("nats") == "renewed"
    assert set(again.values()) == {"kept"}


@pytest.mark.parametrize("host", ["", "https://example.org", "example.org:443", "a..b", "ex ample"])
def test_what_is_no_host_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(InvalidInput, match="--host"):
        issue(tmp_path, [host])


@pytest.mark.parametrize("name", SERVERS)
async def test_a_client_that_knows_the_ca_is_convinced(tmp_path: Path, name: str) -> None:
    issue(tmp_path)
    for host in ("localhost", "127.0.0.1", name):
        await handshake(tmp_path, name, ca=tmp_path / "ca.crt", host=host)


async def test_what_convinces_nobody(tmp_path: Path) -> None:
    issue(tmp_path)
    issue(tmp_path / "other")
    issue(tmp_path / "old", days=1, now=datetime.now(UTC) - timedelta(days=2))
    with pytest.raises(ssl.SSLCertVerificationError, match=r"unable to get local issuer|self-signed|self signed"):
        await handshake(tmp_path, "gateway", ca=tmp_path / "other" / "ca.crt")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        await handshake(tmp_path, "gateway", ca=tmp_path / "ca.crt", host="store")
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        await handshake(tmp_path / "old", "gateway", ca=tmp_path / "old" / "ca.crt")
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        await handshake(tmp_path, "client", ca=tmp_path / "ca.crt")


def test_the_command_says_who_takes_which_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["tidemill", "certs", "--into", str(tmp_path / "证书"), "--host", "example.org"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert "TIDEMILL_NATS_CA" in said
    assert str(tmp_path / "证书" / "nats.crt") in said
    assert "PRIVATE" not in said
