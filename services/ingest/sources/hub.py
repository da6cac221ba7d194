"""Downloads a dataset from a Hugging Face hub: the revision is resolved to a commit first, then its files are taken."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from services.ingest.sources.policy import Origin, SourcePolicy
from services.ingest.sources.transfer import Transfer
from services.ingest.sources.web import Trusted, fetch
from tidemill.errors import InvalidInput, TidemillError, TransientError
from tidemill.file_names import FileNames, is_hidden

log = logging.getLogger(__name__)

_URI = re.compile(
    r"^hf://datasets/(?P<owner>[\w.\-]+)/(?P<name>[\w.\-]+)"
    r"(?:@(?P<revision>refs/(?:convert|pr)/[^/]+|[^/]+))?(?:/(?P<path>.*))?$",
    re.IGNORECASE | re.ASCII,
)
_TIMEOUT = 30.0


@dataclass(frozen=True)
class HubAddress:
    """A dataset of a hub: ``path`` is a file or folder of it, empty for all."""

    owner: str
    name: str
    revision: str | None
    path: str

    @property
    def repository(self) -> str:
        """``owner/name``."""
        return f"{self.owner}/{self.name}"


def download_from_hub(uri: str, into: Path, transfer: Transfer, *, policy: SourcePolicy, origin: Origin) -> None:
    """Download ``hf://datasets/<owner>/<name>[@revision][/path]`` into the directory ``into``; folders stay.

    The token that ``huggingface_hub`` finds (``HF_TOKEN``) is used, except over HTTP for an owner that the policy does
    not name. Files come through the same door as other downloads: of the hub itself at any address, of those that it
    redirects to as the policy says.

    Raises:
        InvalidInput: a wrong address, no such dataset, revision or path, no access, too large.
        TransientError: the hub cannot be reached, or fails by itself.
    """
    from huggingface_hub import HfApi, get_token, hf_hub_url

    address = parse_hub_address(uri)
    token = get_token() if origin == "bus" or address.owner in policy.allowed_hub_owners else None
    api = HfApi(endpoint=policy.hub_url, token=token or False)
    with _explained(address, policy.hub_url, token is not None):
        found = api.dataset_info(address.repository, revision=address.revision, timeout=_TIMEOUT)
        commit = str(found.sha)
        log.info("%s is read at commit %s", uri, commit)
        transfer.say(f"{address.repository} at commit {commit}")
        files = _files(api, address, commit, transfer)
    transfer.expect(sum(size for _, _, size in files))
    trusted = Trusted(policy.hub_url, {"Authorization": f"Bearer {token}"} if token else {})
    for path, name, _ in files:
        url = hf_hub_url(address.repository, path, repo_type="dataset", revision=commit, endpoint=policy.hub_url)
        fetch(url, _saving(into / name, transfer), policy=policy, origin=origin, trusted=trusted)


def parse_hub_address(uri: str) -> HubAddress:
    """What ``uri`` names. Raises InvalidInput when it is no such address."""
    found = _URI.match(uri)
    path = unquote(found["path"] or "").strip("/") if found else ""
    if not found or any(part in ("", ".", "..") for part in path.split("/") if path):
        raise InvalidInput(f"{uri!r} is not an address of the form hf://datasets/owner/name[@revision][/path]")
    revision = unquote(found["revision"]) if found["revision"] else None
    return HubAddress(found["owner"], found["name"], revision, path)


def _saving(target: Path, transfer: Transfer) -> Any:
    return lambda response, _: transfer.write(target, response.iter_bytes(1 << 20))


def _files(api: Any, address: HubAddress, commit: str, transfer: Transfer) -> list[tuple[str, str, int]]:
    """Path in the dataset, name in the copy and size of every file."""
    from huggingface_hub import RepoFile

    where = {"repo_type": "dataset", "revision": commit}
    if address.path:
        (found,) = api.get_paths_info(address.repository, [address.path], **where) or [None]
        if found is None:
            raise InvalidInput(f"dataset {address.repository} has no {address.path!r} at {commit}; check the path")
        if isinstance(found, RepoFile):
            return [(found.path, PurePosixPath(found.path).name, found.size)]
    names = FileNames(f"dataset {address.repository}")
    files: list[tuple[str, str, int]] = []
    for entry in api.list_repo_tree(address.repository, address.path or None, recursive=True, **where):
        if not isinstance(entry, RepoFile):
            continue
        name = entry.path.removeprefix(f"{address.path}/" if address.path else "")
        if not is_hidden(name):
            files.append((entry.path, names.add(name), entry.size))
            transfer.expect_files(len(files))
    if not files:
        raise InvalidInput(f"dataset {address.repository} holds no file at commit {commit}; check owner, name and path")
    return sorted(files)


@contextmanager
def _explained(address: HubAddress, hub: str, signed: bool) -> Iterator[None]:
    """The hub's errors as ours. Their own messages hold request ids, and of a network the whole address."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repository = address.repository
    login = "may need a login; set HF_TOKEN where ingest runs"
    if signed:
        login = "may not be read with the platform's token; ask its owner for access"
    try:
        yield
    except OfflineModeIsEnabled:
        raise InvalidInput("HF_HUB_OFFLINE is set where ingest runs; unset it, or upload the files") from None
    except HFValidationError as error:
        raise InvalidInput(f"{repository!r} cannot be the name of a dataset: {error}") from None
    except GatedRepoError:
        raise InvalidInput(f"dataset {repository} is gated and {login}") from None
    except RepositoryNotFoundError:
        raise InvalidInput(f"there is no dataset {repository} at {hub}, or it {login}") from None
    except RevisionNotFoundError:
        raise InvalidInput(f"dataset {repository} has no revision {address.revision!r}; check branch or tag") from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (408, 429) or status >= 500:
            raise TransientError(f"the hub at {hub} answered {status} for dataset {repository}") from None
        raise InvalidInput(f"the hub at {hub} answered {status} for dataset {repository}; it {login}") from None
    except TidemillError:
        raise
    except Exception as error:  # of whichever HTTP library the hub's client uses, and of answers that are not a hub's
        raise TransientError(
            f"the hub at {hub} cannot be reached ({type(error).__name__}); dataset {repository} is tried again later, "
            "or upload its files"
        ) from error
