"""The vault: what reversible tokens stand for, encrypted. The same tokens and key give the same bytes.

AES-256-GCM under a data key that HKDF-SHA256 derives from the recipe's key. The nonce is an HMAC of the value under
another derived key, so that no nonce serves two values and nothing is drawn at random (a synthetic nonce, the idea of
AES-SIV, RFC 5297). The token is authenticated with the value.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tidemill.errors import CorruptArtifact, InvalidInput, NotFound

VAULT_FILE = "vault/tokens.parquet"
ENTRY = pa.struct(
    [("token", pa.string()), ("entity", pa.string()), ("nonce", pa.binary()), ("ciphertext", pa.binary())]
)
"""One token; what a row's list in the hidden column ``__tokens`` holds."""
_NONCE_BYTES = 12
_CIPHER, _NONCE, _CHECK = b"tidemill vault data 1", b"tidemill vault nonce 1", b"tidemill vault check 1"


def sealed(key: bytes, token: str, entity: str, value: str) -> dict[str, str | bytes]:
    """An entry of the vault."""
    cipher, nonce_key, _ = _keys(key)
    nonce = hmac.digest(nonce_key, token.encode() + b"\0" + value.encode(), "sha256")[:_NONCE_BYTES]
    ciphertext = cipher.encrypt(nonce, value.encode(), token.encode())
    return {"token": token, "entity": entity, "nonce": nonce, "ciphertext": ciphertext}


def collected(tokens: Iterable[pa.Array | pa.ChunkedArray]) -> pa.Table:
    """The entries of columns ``__tokens`` (lists of ``ENTRY``), sorted by token, each once."""
    flat = [pc.list_flatten(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)
            for column in tokens]  # fmt: skip
    entries = pa.concat_arrays([one.cast(ENTRY) for one in flat]) if flat else pa.array([], ENTRY)
    return _unique(pa.Table.from_struct_array(entries))


def merged(vaults: Iterable[Path]) -> pa.Table:
    """The entries of the vaults of several shards. Raises CorruptArtifact naming one that cannot be read."""
    tables = [_read(folder) for folder in vaults]
    return _unique(pa.concat_tables(tables)) if tables else collected([])


def write_vault(entries: pa.Table, output: Path, key: bytes) -> Path | None:
    """Write ``vault/tokens.parquet`` below ``output`` and return its path; nothing when there are no entries."""
    if not entries.num_rows:
        return None
    path = output / VAULT_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    _, _, check = _keys(key)
    table = entries.replace_schema_metadata({"tidemill.key_check": check})
    pq.write_table(table, path, compression="zstd", compression_level=1, use_dictionary=["entity"])
    return path


def reveal(vault: Path, token: str, key: bytes) -> str:
    """The value that ``token`` stands for; ``vault`` is the folder that holds ``tokens.parquet``, or the one above.

    Raises:
        InvalidInput: the key is another one than that the vault was written with.
        NotFound: the vault has no such token.
        CorruptArtifact: the vault cannot be read, or the entry was changed.
    """
    table = _read(vault, token)
    cipher, _, check = _keys(key)
    if not hmac.compare_digest((table.schema.metadata or {}).get(b"tidemill.key_check", b""), check):
        raise InvalidInput("this is not the key that the vault was written with; name the one of the run's recipe")
    if not table.num_rows:
        raise NotFound(f"the vault has no token {token!r}; copy the token whole, with its angle brackets")
    entry = table.slice(0, 1).to_pylist()[0]
    try:
        return cipher.decrypt(entry["nonce"], entry["ciphertext"], token.encode()).decode()
    except InvalidTag:
        raise CorruptArtifact(f"the vault's entry of {token!r} is not what was written") from None


def _read(folder: Path, token: str | None = None) -> pa.Table:
    path = next((one for one in (folder / VAULT_FILE, folder / "tokens.parquet") if one.is_file()), folder / VAULT_FILE)
    try:
        return pq.read_table(path, filters=None if token is None else [("token", "=", token)])
    except (OSError, pa.ArrowException) as error:
        raise CorruptArtifact(f"the vault {path} cannot be read: {error}") from None


def _unique(entries: pa.Table) -> pa.Table:
    ordered = entries.sort_by("token").combine_chunks()
    if ordered.num_rows < 2:
        return ordered
    names = ordered["token"]
    first = pc.not_equal(names.slice(1), names.slice(0, len(names) - 1))
    return ordered.filter(pa.chunked_array([pa.array([True]), *first.chunks]))


@lru_cache(maxsize=8)
def _keys(key: bytes) -> tuple[AESGCM, bytes, bytes]:
    """The cipher, the key of nonces, and what tells the key from others."""

    def derived(purpose: bytes) -> bytes:
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(key)

    return AESGCM(derived(_CIPHER)), derived(_NONCE), derived(_CHECK)[:16].hex().encode()
