"""The master key: it wraps the store keys, and never lies in the store. A file, a variable, or a command (a KMS).

One of these variables names it:

    TIDEMILL_ENCRYPTION_KEY_FILE     a file with 32 bytes in base64 (`tidemill store keys new-master FILE` makes one)
    TIDEMILL_ENCRYPTION_KEY          the same in a variable
    TIDEMILL_ENCRYPTION_KEY_COMMAND  a program and its arguments, called with `wrap` or `unwrap` behind them: reads a
                                     key in base64 from its input and writes one to its output
"""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
import subprocess
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from tidemill.artifacts.encryption.sealed import KEY
from tidemill.errors import InvalidInput, PermanentError, TransientError

FILE = "TIDEMILL_ENCRYPTION_KEY_FILE"
VARIABLE = "TIDEMILL_ENCRYPTION_KEY"
COMMAND = "TIDEMILL_ENCRYPTION_KEY_COMMAND"
_COMMAND_SECONDS = 30


class MasterKey(Protocol):
    """Wraps store keys."""

    name: str
    """Tells it from others; safe to show."""

    def wrap(self, key: bytes) -> bytes:
        """A store key that only this master key opens."""

    def unwrap(self, wrapped: bytes) -> bytes:
        """The store key.

        Raises:
            PermanentError: it was wrapped by another master key, or changed.
        """


class KeptMasterKey:
    """A master key that is known here. Wraps by AES key wrap (RFC 3394)."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.name = hashlib.sha256(b"tidemill master key " + key).hexdigest()[:12]

    def wrap(self, key: bytes) -> bytes:
        """See ``MasterKey``."""
        return aes_key_wrap(self._key, key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """See ``MasterKey``."""
        try:
            return aes_key_unwrap(self._key, wrapped)
        except (InvalidUnwrap, ValueError):
            raise PermanentError(f"the master key {self.name} does not open it") from None


class CommandMasterKey:
    """A master key that a program uses for us: the way to a KMS or a security module."""

    def __init__(self, command: str) -> None:
        self._command = shlex.split(command)
        self.name = f"command {Path(self._command[0]).name}"

    def wrap(self, key: bytes) -> bytes:
        """See ``MasterKey``."""
        return self._ask("wrap", key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """See ``MasterKey``."""
        return self._ask("unwrap", wrapped)

    def _ask(self, verb: str, key: bytes) -> bytes:
        try:
            done = subprocess.run(
                [*self._command, verb], input=base64.b64encode(key) + b"\n", capture_output=True, check=False,
                timeout=_COMMAND_SECONDS,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TransientError(f"the command of {COMMAND} cannot be asked to {verb}: {error}") from None
        if done.returncode:
            said = " ".join(done.stderr.decode(errors="replace").split())[-200:] or "it said nothing"
            raise PermanentError(f"the command of {COMMAND} does not {verb} (exit status {done.returncode}): {said}")
        return _decoded(done.stdout, f"what the command of {COMMAND} answers to {verb}")


def master_key() -> MasterKey | None:
    """The master key that the environment names; None when objects are not to be encrypted.

    Raises:
        InvalidInput: it names more than one, or one that cannot be used. A key is not repeated.
    """
    given = [name for name in (FILE, VARIABLE, COMMAND) if os.environ.get(name)]
    if len(given) > 1:
        raise InvalidInput(f"{' and '.join(given)} are set, and the master key is one; unset all but one of them")
    if not given:
        return None
    value = os.environ[given[0]]
    if given[0] == COMMAND:
        try:
            return CommandMasterKey(value)
        except (ValueError, IndexError) as error:
            raise InvalidInput(f"{COMMAND} is not a command: {error}") from None
    return read_master_key(Path(value)) if given[0] == FILE else _kept(value.encode(), VARIABLE)


def read_master_key(path: Path) -> KeptMasterKey:
    """The master key in a file.

    Raises:
        InvalidInput: there is none in it.
    """
    try:
        return _kept(path.read_bytes(), str(path))
    except OSError as error:
        raise InvalidInput(f"the master key cannot be read: {path}: {error.strerror}; see {FILE}") from None


def write_master_key(path: Path) -> KeptMasterKey:
    """A new master key in a new file that only its owner may read.

    Raises:
        InvalidInput: there is a file already, or it cannot be written.
    """
    key = os.urandom(KEY)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(key) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InvalidInput(f"the master key cannot be written: {path}: {error.strerror}") from None
    return KeptMasterKey(key)


def _kept(encoded: bytes, where: str) -> KeptMasterKey:
    key = _decoded(encoded, where)
    if len(key) != KEY:
        raise InvalidInput(f"the master key in {where} has {len(key)} bytes; it needs {KEY}, in base64")
    return KeptMasterKey(key)


def _decoded(encoded: bytes, where: str) -> bytes:
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except ValueError:
        raise InvalidInput(f"{where} is not base64") from None
