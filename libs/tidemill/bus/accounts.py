"""The accounts of a NATS server: a seed for each user, and the file with their public keys that the server includes.

All users are in the server's global account, where the streams of a platform have always been, so that an existing
data folder keeps them; ``$SYS`` has one user of its own, who may ask the server how it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tidemill.bus.nkeys import new_seed, public_key, read_seed
from tidemill.bus.permissions import Permissions, permissions
from tidemill.errors import InvalidInput, PermanentError

SYSTEM = "system"
"""The user of the account ``$SYS``: asked for health, sees no messages."""
ACCOUNTS_FILE = "accounts.conf"


@dataclass(frozen=True)
class AccountsMade:
    """What ``write_accounts`` did: users by name."""

    made: tuple[str, ...]
    rotated: tuple[str, ...]
    kept: tuple[str, ...]


def seed_file(folder: Path, user: str) -> Path:
    """Where the seed of ``user`` is."""
    return folder / f"{user}.nk"


def write_accounts(
    folder: Path, *, rotate: Collection[str] = (), also: Mapping[str, Permissions] | None = None
) -> AccountsMade:
    """Make the seeds that are missing in ``folder``, new ones for ``rotate``, and the server's file for all of them.

    ``also`` are further users, each with its permissions. Safe to repeat: seeds that are there stay.

    Raises:
        InvalidInput: no such user is known.
        PermanentError: the folder cannot be written, or holds a file that is no seed.
    """
    users = {**permissions(), **(also or {})}
    names = (*users, SYSTEM)
    for unknown in [name for name in rotate if name not in names]:
        raise InvalidInput(f"--rotate {unknown}: there is no such user; known: {', '.join(names)}")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        missing = tuple(name for name in names if not seed_file(folder, name).exists())
        for name in {*missing, *rotate}:
            new_seed(seed_file(folder, name))
        keys = {name: _public(folder, name) for name in names}
        _replace(
            folder / ACCOUNTS_FILE, accounts_text({keys[name]: (name, users[name]) for name in users}, keys[SYSTEM])
        )
    except OSError as error:
        raise PermanentError(f"the accounts cannot be written to {folder}: {error.strerror or error}") from error
    rotated = tuple(name for name in names if name in rotate and name not in missing)
    return AccountsMade(missing, rotated, tuple(name for name in names if name not in {*missing, *rotated}))


def accounts_text(users: Mapping[str, tuple[str, Permissions]], system: str) -> str:
    """The file that a server includes. ``users`` are by public key, with their names; ``system`` is a public key."""
    lines = [
        "# Made by `tidemill nats accounts`: public keys and permissions, nothing secret.",
        "authorization {",
        "  users: [",
    ]
    for key, (name, allowed) in users.items():
        lines += [f"    {{ # {name}", f"      nkey: {key}", "      permissions: {", "        publish: {"]
        lines += _listed("allow", allowed.publish)
        if allowed.denied:
            lines += _listed("deny", allowed.denied)
        lines += [
            "        }",
            "        subscribe: {",
            *_listed("allow", allowed.subscribe),
            "        }",
            "      }",
            "    }",
        ]
    lines += ["  ]", "}", "accounts {", f"  $SYS: {{ users: [{{ nkey: {system} }}] }}", "}"]
    return "\n".join(lines) + "\n"


def _listed(name: str, subjects: Collection[str]) -> list[str]:
    return [f"          {name}: [", *(f'            "{subject}"' for subject in subjects), "          ]"]


def _public(folder: Path, name: str) -> str:
    path = seed_file(folder, name)
    return public_key(read_seed(path), path)


def _replace(path: Path, text: str) -> None:
    if path.exists() and path.read_text() == text:
        return
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.chmod(0o644)
    part.replace(path)
