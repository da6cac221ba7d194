"""Names and addresses by a token-classification model, run with ONNX Runtime; no training framework is needed.

A model is a folder, or a hub's repository, with ``config.json`` (``id2label``), ``tokenizer.json`` and ``model.onnx``
(at the top or in ``onnx/``). One text is run at a time, so that a text's findings depend on no other text.
"""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Iterator
from functools import lru_cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from services.preprocess.privacy.entities import SPECIFICITY
from services.preprocess.privacy.overlaps import Found
from tidemill.contracts.machine_paths import is_folder
from tidemill.contracts.privacy import EntityName
from tidemill.errors import InvalidInput, TransientError

_FILES = ("config.json", "tokenizer.json")
_WEIGHTS = ("model.onnx", "onnx/model.onnx")
_LABELS: dict[str, EntityName] = {
    "PER": "person", "PERSON": "person", "NAME": "person", "GIVENNAME": "person", "SURNAME": "person",
    "LOC": "address", "LOCATION": "address", "ADDRESS": "address", "STREET": "address", "STREET_ADDRESS": "address",
    "GPE": "address", "FAC": "address",
}  # fmt: skip
"""What labels of common schemes mean, their ``B-`` and ``I-`` left out."""
_MAX_TOKENS = 512
_OVERLAP = 64


class TokenClassifier:
    """A model that is loaded; may be called from several threads, one after the other."""

    def __init__(self, folder: Path) -> None:
        """Raises InvalidInput when the folder is no such model, or onnxruntime or tokenizers are not installed."""
        runtime, tokenizers = _required("onnxruntime"), _required("tokenizers")
        weights = _weights(folder)
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
            options = runtime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self._session: Any = runtime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # both libraries raise types of their own
            raise InvalidInput(f"privacy.model: {folder} cannot be loaded: {str(error).splitlines()[0]}") from None
        self._labels = _labels(config, folder)
        self._inputs = {one.name for one in self._session.get_inputs()}
        room = int(config.get("max_position_embeddings") or _MAX_TOKENS)
        self._max_tokens = min(_MAX_TOKENS, room)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._max_tokens, stride=min(_OVERLAP, self._max_tokens // 4))
        self._lock = threading.Lock()

    def __call__(self, texts: pa.Array) -> Iterator[Found]:
        """The findings in each text; null texts have none."""
        for row, text in enumerate(texts.to_pylist()):
            if text:
                with self._lock:
                    spans = self._spans(text)
                yield from ((row, start, end, 1, SPECIFICITY.index(name)) for start, end, name in spans)

    def _spans(self, text: str) -> list[tuple[int, int, EntityName]]:
        encoding = self._tokenizer.encode(text)
        spans: list[tuple[int, int, EntityName]] = []
        for window in (encoding, *encoding.overflowing):
            previous: EntityName | None = None
            for (start, end), special, code in zip(
                window.offsets, window.special_tokens_mask, self._codes(window), strict=True
            ):
                name = self._labels.get(code) if not special and end > start else None
                # Tokens of one finding follow each other with at most a space between; windows overlap.
                if name is not None and previous == name and spans and start <= spans[-1][1] + 1:
                    spans[-1] = (spans[-1][0], max(end, spans[-1][1]), name)
                elif name is not None:
                    spans.append((start, end, name))
                previous = name if not special else previous
        return [(start, end, name) for start, end, name in dict.fromkeys(spans) if text[start:end].strip()]

    def _codes(self, window: Any) -> list[int]:
        feed = {
            "input_ids": np.array([window.ids], np.int64),
            "attention_mask": np.array([window.attention_mask], np.int64),
            "token_type_ids": np.array([window.type_ids], np.int64),
        }
        try:
            logits = self._session.run(None, {name: feed[name] for name in self._inputs})[0]
        except Exception as error:  # the runtime's own types, and KeyError for an input of another kind of model
            raise InvalidInput(f"privacy.model does not take a text: {str(error).splitlines()[0]}") from None
        return np.asarray(logits)[0].argmax(axis=-1).tolist()  # type: ignore[no-any-return]


@lru_cache(maxsize=2)
def classifier(model: str) -> TokenClassifier:
    """The model of a local folder or a hub id, loaded once in a process.

    Raises:
        InvalidInput: there is no such model, it is of another kind, or onnxruntime or tokenizers are not installed.
        TransientError: the hub cannot be reached.
    """
    return TokenClassifier(_folder(model))


def model_fingerprint(model: str) -> str:
    """SHA-256 of the files that findings depend on, for the job's spec. Raises what ``classifier`` raises."""
    folder = _folder(model)
    digest = sha256()
    for path in (*(folder / name for name in _FILES), _weights(folder)):
        try:
            found = path.stat()
            digest.update(_digest(path, found.st_size, found.st_mtime_ns))
        except OSError:
            raise _not_a_model(folder, path.name) from None
    return digest.hexdigest()


@lru_cache(maxsize=32)
def _digest(path: Path, size: int, changed: int) -> bytes:
    """The SHA-256 of a file, read again when its size or its time has changed: every round of jobs asks for it."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").digest()


def _folder(model: str) -> Path:
    if is_folder(model):
        folder = Path(model).expanduser()
        if folder.is_dir():
            return folder
        raise InvalidInput(f"privacy.model: there is no folder {model!r} on the preprocess service's machine")
    hub = _required("huggingface_hub")
    try:
        return Path(hub.snapshot_download(model, allow_patterns=[*_FILES, *_WEIGHTS]))
    except Exception as error:
        reason = f"privacy.model: {model!r} is no local folder, and the hub says: {str(error).splitlines()[0]}"
        if type(error).__name__ in ("RepositoryNotFoundError", "HFValidationError", "GatedRepoError"):
            raise InvalidInput(reason) from None
        raise TransientError(reason) from None


def _weights(folder: Path) -> Path:
    found = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if found is None:
        raise _not_a_model(folder, "model.onnx")
    return found


def _labels(config: dict[str, Any], folder: Path) -> dict[int, EntityName]:
    labels = {int(code): str(label) for code, label in (config.get("id2label") or {}).items()}
    known = {code: _LABELS.get(label.upper().removeprefix("B-").removeprefix("I-")) for code, label in labels.items()}
    found = {code: name for code, name in known.items() if name is not None}
    if not found:
        have = ", ".join(sorted(set(labels.values()))) or "none"
        raise InvalidInput(f"privacy.model: {folder} has no label of persons or addresses (PER, LOC, …); it has {have}")
    return found


def _not_a_model(folder: Path, missing: str) -> InvalidInput:
    return InvalidInput(
        f"privacy.model: {folder} has no {missing}; a model is a folder with config.json, tokenizer.json and model.onnx"
    )


def _required(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InvalidInput(
            f"privacy.model needs {module} where the preprocess service runs: pip install onnxruntime tokenizers "
            "huggingface_hub; or leave person and address out of privacy.detect"
        ) from None
