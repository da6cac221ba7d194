"""One platform as its users see it: everything that ``tidemill`` does over HTTP, as Python."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from tidemill.client.address import Address
from tidemill.client.gateway import Gateway, Unavailable
from tidemill.client.keys import Keys
from tidemill.client.multipart import Sent
from tidemill.client.run import Run
from tidemill.client.sources import (
    RecipeSource,
    Source,
    check_name,
    check_uri,
    default_name,
    is_uri,
    local_path,
    read_recipe,
)
from tidemill.client.uploads import files_to_upload
from tidemill.contracts import RunState
from tidemill.contracts.erasures import ErasureView, SubjectKind
from tidemill.contracts.queries import (
    ArtifactFiles,
    AuditEntryView,
    DatasetRow,
    DatasetVersionView,
    DeadLetterView,
    ModelRow,
    ModelView,
    RunArtifact,
    RunRow,
)
from tidemill.errors import InvalidInput, TidemillError
from tidemill.secret_files import secret


def connect(
    url: str | None = None,
    data_dir: Path | str | None = None,
    *,
    api_key: str | None = None,
    project: str | None = None,
    ca: Path | str | None = None,
) -> Platform:
    """A platform: the gateway at ``url``, else the one that runs in ``data_dir`` on this machine.

    Without arguments: ``TIDEMILL_URL``, else ``TIDEMILL_DATA_DIR``, else ``.tidemill`` in the current folder.
    ``api_key``, else ``TIDEMILL_API_KEY`` (or the file that ``TIDEMILL_API_KEY_FILE`` names), goes with every request;
    to a platform of this machine else ``TIDEMILL_INFERENCE_API_KEY``, which its gateway was started with. Nothing is
    sent before the first call. ``project``, else ``TIDEMILL_PROJECT``, names the project of callers who are bound to
    none; a project's key says it itself. ``ca``, else ``TIDEMILL_CA``, is a file of certificates that vouch for an
    ``https://`` gateway.

    Raises:
        InvalidInput: the key's file cannot be read.
    """
    address = Address.of(url, data_dir)
    key = api_key or secret("TIDEMILL_API_KEY")
    if not key and address.on_this_machine:  # the gateway's own secret must not go elsewhere
        key = secret("TIDEMILL_INFERENCE_API_KEY")
    project = project or os.environ.get("TIDEMILL_PROJECT")
    return Platform(Gateway(address, api_key=key, project=project, ca=ca or os.environ.get("TIDEMILL_CA") or None))


class Platform:
    """A running platform. Every method may raise ``NotReachable``; other errors are named where they arise."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def __enter__(self) -> Platform:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; runs go on."""
        self._gateway.close()

    @property
    def url(self) -> str:
        """The gateway's address."""
        return self._gateway.url

    def publish(
        self,
        source: Source,
        *,
        name: str | None = None,
        recipe: RecipeSource = None,
        use_cache: bool = True,
        promote: bool | None = None,
        append: bool = False,
        licence: str | None = None,
        owner: str | None = None,
        sent: Sent | None = None,
    ) -> Run:
        """Publish a dataset and start its run.

        ``source`` is a file, an archive, a folder with all that is in it, or a list of files and folders (uploaded, as
        is a ``file://`` of this machine), or a URI that the platform reads (``https://``, ``s3://``,
        ``hf://datasets/owner/name``, a database's). ``name`` is that of the model, by default the source's; ``recipe``
        a mapping or the path of a YAML file. ``promote`` overrides the recipe's ``promotion.enabled``. ``append`` adds
        the rows to the dataset's last version; otherwise they replace it. ``licence`` and ``owner`` are kept with its
        provenance. ``sent`` is called while files are uploaded, with the bytes sent so far and the bytes in all.

        Raises:
            InvalidInput: there is no such file, or the name or the source cannot be used.
            RecipeError: the recipe is not valid; names the key.
        """
        document = read_recipe(recipe)
        sources = [source] if isinstance(source, str | Path) else list(source)
        if not sources:
            raise InvalidInput("no file was named; name at least one")
        name = check_name(name) if name else default_name(sources)
        options: dict[str, Any] = {"use_cache": use_cache}
        options |= {} if promote is None else {"promote": promote}
        options |= {"append": True} if append else {}
        words = {key: text for key, text in (("licence", licence), ("owner", owner)) if text is not None}
        sources = [local_path(one) for one in sources]
        uri = next((one for one in sources if is_uri(one)), None)
        if uri is not None:
            if len(sources) > 1:
                raise InvalidInput(f"{uri} is a URI, which is published alone; several sources have to be files")
            body: dict[str, Any] = {"name": name, "uri": check_uri(str(uri)), **options, **words}
            body |= {"recipe": document} if document else {}
            return self._published(lambda: self._gateway.post("/v1/datasets", body), name)
        fields = {"name": name, **words} | {key: json.dumps(value) for key, value in options.items()}
        if document:
            fields["recipe"] = json.dumps(document, ensure_ascii=False)  # every JSON text is YAML
        files = files_to_upload(sources)
        return self._published(lambda: self._gateway.upload("/v1/datasets", fields, files, sent=sent), name)

    def _published(self, send: Callable[[], Any], name: str) -> Run:
        try:
            answer = send()
        except Unavailable as away:
            if "run_id" not in away.document:
                raise
            answer = away.document  # on record already: the run starts when NATS is back
        return Run(self._gateway, answer["run_id"], answer.get("name", name))

    def run(self, run_id: str) -> Run:
        """The run with this id; nothing is asked before its first method is called."""
        return Run(self._gateway, _segment(run_id), "")

    def runs(self, *, limit: int = 50, state: RunState | None = None) -> list[RunRow]:
        """Runs, newest first."""
        params: dict[str, Any] = {"limit": limit} | ({"state": state} if state else {})
        return [RunRow.model_validate(row) for row in self._gateway.get("/v1/runs", params=params)]

    def models(self, *, limit: int = 200) -> list[ModelRow]:
        """The models with the newest versions, these first; at most 1000."""
        rows = self._gateway.get("/v1/models", params={"limit": limit})
        return [ModelRow.model_validate(row) for row in rows]

    def model(self, name: str) -> ModelView:
        """One model: its aliases and its versions, newest first.

        Raises:
            NotFound: there is no model of this name.
        """
        return ModelView.model_validate(self._gateway.get(f"/v1/models/{_segment(name)}"))

    def promote(self, name: str, version: int, alias: str = "champion") -> None:
        """Point ``alias`` to ``version``, whatever the gates say. A durable command: it takes a moment.

        Raises:
            NotFound: there is no such model or version.
        """
        self._gateway.post(f"/v1/models/{_segment(name)}:promote", {"version": version, "alias": alias})

    def revoke(self, name: str, version: int, reason: str) -> None:
        """Take a version out of service for good; its aliases fall back to the last good version, or to none.

        A durable command: it takes a moment.

        Raises:
            NotFound: there is no such model or version.
            InvalidInput: it was revoked already.
        """
        self._gateway.post(f"/v1/models/{_segment(name)}/versions/{version}:revoke", {"reason": reason})

    def sign_versions(self, name: str | None = None, version: int | None = None) -> None:
        """Have the registry sign versions on record that no trusted signer has signed. A durable command.

        Do so only when you know that what is on record is what was registered.
        """
        asked = {"name": name, "version": version}
        self._gateway.post("/v1/models:sign", {key: value for key, value in asked.items() if value is not None})

    def delete_model(self, name: str, version: int | None = None) -> None:
        """Delete a model, or one version that is not its champion. A durable command: it takes a moment.

        The model stops serving; a garbage collection frees the storage that nothing else refers to.

        Raises:
            NotFound: there is no such model or version.
            InvalidInput: the version is the champion.
        """
        self._gateway.delete(f"/v1/models/{_segment(name)}" + (f"/versions/{version}" if version is not None else ""))

    def datasets(self, *, limit: int = 200, name: str | None = None) -> list[DatasetRow]:
        """The datasets with the newest runs, or the one of this name; the deleted ones too. At most 1000."""
        params: dict[str, Any] = {"limit": limit} | ({"name": name} if name is not None else {})
        return [DatasetRow.model_validate(row) for row in self._gateway.get("/v1/datasets", params=params)]

    def dataset_versions(self, name: str) -> list[DatasetVersionView]:
        """The versions of a dataset with their provenance, the newest first. Raises NotFound when there is none."""
        found = self._gateway.get(f"/v1/datasets/{_segment(name)}/versions")
        return [DatasetVersionView.model_validate(one) for one in found]

    def data_report(self, run_id: str) -> str:
        """The data report of a run, one HTML page. Raises NotFound before its dataset is prepared."""
        return self._gateway.text(f"/v1/runs/{_segment(run_id)}/report")

    def fetch(
        self, run_id: str, to: Path | str, *, what: RunArtifact = "dataset", received: Sent | None = None
    ) -> Path:
        """Save what a run made of its dataset into the folder ``to``, which is made and has to be empty.

        ``received`` is called with the bytes so far and in all, file by file.

        Raises:
            NotFound: there is no such run, or it has not made that.
            InvalidInput: the folder is not empty, or cannot be written.
        """
        folder = Path(to)
        if folder.is_dir() and any(folder.iterdir()):
            raise InvalidInput(f"folder {folder} is not empty; name another one")
        address = f"/v1/runs/{_segment(run_id)}/artifacts/{what}"
        files = ArtifactFiles.model_validate(self._gateway.get(address)).files
        done = 0
        for path, size in sorted(files.items()):
            self._gateway.download(f"{address}/{quote(path)}", folder / path)
            done += size
            if received is not None:
                received(done, sum(files.values()))
        return folder

    def delete_dataset(self, name: str) -> None:
        """Delete what the runs of a dataset that have ended took in and prepared; models trained on it stay.

        Raises:
            NotFound: there is no such dataset.
            InvalidInput: all its runs are still running.
        """
        self._gateway.delete(f"/v1/datasets/{_segment(name)}")

    def erase(self, subject: str, *, kind: SubjectKind = "any", dry_run: bool = False) -> ErasureView:
        """Have a person's data erased from the project: every dataset, artifact and message with ``subject``. A durable
        command; ``erasure`` says how far it is. With ``dry_run`` nothing is changed, and the report says what would be.

        Raises:
            InvalidInput: ``subject`` is not of that ``kind``, or so short that it is found everywhere.
        """
        body = {"subject": subject, "kind": kind, "dry_run": dry_run}
        return ErasureView.model_validate(self._gateway.post("/v1/erasures", body))

    def erasure(self, erasure_id: str) -> ErasureView:
        """How far an erasure is, or what it did. Raises NotFound when there is none of this id."""
        return ErasureView.model_validate(self._gateway.get(f"/v1/erasures/{_segment(erasure_id)}"))

    def erasures(self) -> list[ErasureView]:
        """The erasures that are done, the latest first."""
        return [ErasureView.model_validate(one) for one in self._gateway.get("/v1/erasures")]

    def predict(self, name: str, instances: Iterable[Any] | str) -> Any:
        """What the served model says about ``instances`` (raw texts; one string counts as one), as the gateway answers.

        Raises:
            NotFound: no model of this name is served.
            InvalidInput: an instance cannot be used; says which.
        """
        rows = [instances] if isinstance(instances, str) else list(instances)
        return self._gateway.post(f"/v1/models/{_segment(name)}:predict", {"instances": rows})

    def predict_url(self, name: str) -> str:
        """The address that predictions are posted to."""
        return f"{self.url}/v1/models/{_segment(name)}:predict"

    def dead_letters(self, *, limit: int = 50) -> list[DeadLetterView]:
        """Messages that nobody could handle, newest first."""
        letters = self._gateway.get("/v1/dead-letters", params={"limit": limit})
        return [DeadLetterView.model_validate(letter) for letter in letters]

    def replay(self, letter_id: str) -> None:
        """Publish a dead letter's message again; its run, if it has one, is running again.

        Raises:
            NotFound: there is no such dead letter.
        """
        self._gateway.post(f"/v1/dead-letters/{_segment(letter_id)}:replay")

    def audit(self, *, limit: int = 50, before: int | None = None) -> list[AuditEntryView]:
        """The latest control actions on record, or the latest with a sequence below ``before``; newest first."""
        params = {"limit": limit} | ({"before": before} if before is not None else {})
        return [AuditEntryView.model_validate(one) for one in self._gateway.get("/v1/audit", params=params)]

    @property
    def keys(self) -> Keys:
        """The API keys of the project."""
        return Keys(self._gateway)

    def status(self) -> Any:
        """What the gateway says about itself, the registry and the models that it serves."""
        return self._gateway.get("/v1/status")


def _segment(text: str) -> str:
    if not text:
        raise TidemillError("an empty name or id names nothing")
    return quote(text, safe="")
