"""Keys and signatures: what a trusted signer signed is told from everything else, and keys are kept as keys should."""

from __future__ import annotations

import base64
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from tidemill.contracts import PackageSignature
from tidemill.errors import NotFound, PermanentError
from tidemill.signing import NotTrusted, PublicKey, SigningFolder, SigningKey, TrustedSigners
from tidemill.signing.statement import version_statement

DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
def folder(tmp_path: Path) -> SigningFolder:
    made = SigningFolder.below(tmp_path)
    assert made.make() is not None
    return made


def signed(folder: SigningFolder, version: int = 1) -> PackageSignature:
    return SigningKey.read(folder.key_file).sign(version_statement("default", "评论", version, DIGEST))


def test_a_signed_version_is_verified_by_its_public_key_alone(folder: SigningFolder, tmp_path: Path) -> None:
    signature = signed(folder)
    folder.trusted.verify("default", "评论", 1, DIGEST, signature)
    (path,) = folder.trusted.folder.iterdir()
    elsewhere = TrustedSigners(tmp_path / "elsewhere")
    elsewhere.add(PublicKey.from_pem(path.read_bytes(), str(path)))
    elsewhere.verify("default", "评论", 1, DIGEST, signature)


def test_the_signature_is_plain_ed25519_over_canonical_json(folder: SigningFolder) -> None:
    """Anybody can verify it without Tidemill."""
    (path,) = folder.trusted.folder.iterdir()
    statement = (
        f'{{"digest":"{DIGEST}","name":"评论","project":"default","type":"tidemill.model-version.v1","version":1}}'
    )
    key = load_pem_public_key(path.read_bytes())
    key.verify(base64.b64decode(signed(folder).value), statement.encode())  # type: ignore[union-attr,call-arg]


@pytest.mark.parametrize(
    ("project", "name", "version", "digest"),
    [
        ("other", "评论", 1, DIGEST),
        ("default", "reviews", 1, DIGEST),
        ("default", "评论", 2, DIGEST),
        ("default", "评论", 1, f"sha256:{'b' * 64}"),
    ],
)
def test_a_signature_counts_for_what_was_signed_and_nothing_else(
    folder: SigningFolder, project: str, name: str, version: int, digest: str
) -> None:
    with pytest.raises(NotTrusted, match="does not have the package that was signed"):
        folder.trusted.verify(project, name, version, digest, signed(folder))


@pytest.mark.parametrize("value", ["", "AAAA", "not base64!", base64.b64encode(bytes(64)).decode()])
def test_what_is_no_signature_is_refused(folder: SigningFolder, value: str) -> None:
    forged = signed(folder).model_copy(update={"value": value})
    with pytest.raises(NotTrusted, match="does not have the package"):
        folder.trusted.verify("default", "评论", 1, DIGEST, forged)


def test_unsigned_and_signed_by_a_stranger(folder: SigningFolder, tmp_path: Path) -> None:
    with pytest.raises(NotTrusted, match=r"version 1 of model '评论' is not signed.*tidemill registry trust 评论"):
        folder.trusted.verify("default", "评论", 1, DIGEST, None)
    stranger = SigningFolder.below(tmp_path / "stranger")
    stranger.make()
    with pytest.raises(NotTrusted, match=r"not trusted here.*tidemill signing trust FILE"):
        folder.trusted.verify("default", "评论", 1, DIGEST, signed(stranger))
    # The stranger's signature under the name of a trusted key.
    mine = signed(folder).key_id
    with pytest.raises(NotTrusted, match="does not have the package"):
        folder.trusted.verify("default", "评论", 1, DIGEST, signed(stranger).model_copy(update={"key_id": mine}))
    with pytest.raises(NotTrusted, match=r"trusted in .*: none"):
        TrustedSigners(tmp_path / "nowhere").verify("default", "评论", 1, DIGEST, signed(folder))


def test_a_rotation_keeps_old_signatures_valid_until_their_key_is_distrusted(folder: SigningFolder) -> None:
    old = signed(folder)
    new_key = folder.rotate()
    new = signed(folder, version=2)
    assert new.key_id == new_key.public.id != old.key_id
    folder.trusted.verify("default", "评论", 1, DIGEST, old)
    folder.trusted.verify("default", "评论", 2, DIGEST, new)
    folder.trusted.remove(old.key_id)
    with pytest.raises(NotTrusted, match="not trusted here"):
        folder.trusted.verify("default", "评论", 1, DIGEST, old)
    folder.trusted.verify("default", "评论", 2, DIGEST, new)
    with pytest.raises(NotFound, match="tidemill signing keys"):
        folder.trusted.remove(old.key_id)


def test_a_pair_is_made_once_and_only_its_owner_reads_the_private_key(folder: SigningFolder) -> None:
    key = folder.key_file.read_bytes()
    assert folder.make() is None
    assert folder.key_file.read_bytes() == key
    assert stat.S_IMODE(folder.key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.key_file.parent.stat().st_mode) == 0o700
    folder.rotate()
    assert folder.key_file.read_bytes() != key
    assert stat.S_IMODE(folder.key_file.stat().st_mode) == 0o600
    assert [path.name for path in folder.key_file.parent.glob(".*")] == []


def _ec_private() -> bytes:
    return generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _ec_public() -> bytes:
    return (
        generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: b"", "holds no private key"),
        (lambda: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no private key"),
        (_ec_private, "key of another kind"),
    ],
)
def test_what_is_no_signing_key_is_named_without_its_content(
    tmp_path: Path, content: Callable[[], bytes], words: str
) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content())
    with pytest.raises(PermanentError, match=words) as refused:
        SigningKey.read(path)
    assert str(path) in str(refused.value)
    assert not any(line in str(refused.value) for line in content().decode().splitlines() if line)


def test_what_is_no_public_key_is_not_trusted_in_silence(folder: SigningFolder) -> None:
    for content, words in (
        (b"hello", "holds no public key"),
        (_ec_public(), "key of another kind"),
        (folder.key_file.read_bytes(), "holds a private key"),
    ):
        path = folder.trusted.folder / "odd.pem"
        path.write_bytes(content)
        with pytest.raises(PermanentError, match=words):
            folder.trusted.keys()
    with pytest.raises(PermanentError, match="cannot be read"):
        SigningKey.read(folder.key_file.with_name("nothing.pem"))


def test_the_name_of_a_key_s_file_means_nothing(folder: SigningFolder) -> None:
    """A key is known by what it is: somebody's file under a trusted name makes nobody else trusted."""
    (path,) = folder.trusted.folder.iterdir()
    path.write_bytes(SigningKey.new().public.pem)
    with pytest.raises(NotTrusted, match="not trusted here"):
        folder.trusted.verify("default", "评论", 1, DIGEST, signed(folder))
