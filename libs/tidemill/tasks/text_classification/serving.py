"""Text classification's serving half: raw instances to tensors, logits to predictions. NumPy and tokenizers only.

The gateway and the compressor both encode with this, so that what was measured is what is served. The gateway's texts
are raw and are first prepared as the training texts were; the compressor's are those of the prepared dataset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tidemill.errors import CorruptArtifact, InvalidInput, PermanentError
from tidemill.modelpack.schema import Tokenization
from tidemill.texts import TextPreparation, preparer

MAX_CHARACTERS = 1_000_000
"""Longest text that is taken; a tokenizer reads all of it before it cuts."""

_EXPECTED = 'expected a string or {"text": …}'


class TextEncoder:
    """Texts to token ids, the same way for every caller. Safe to use from several threads."""

    def __init__(
        self,
        tokenizer_json: Path,
        tokenization: Tokenization,
        *,
        inputs: Sequence[str] = ("input_ids", "attention_mask"),
        multiple_of: int | None = None,
        prepared: bool = False,
    ) -> None:
        """Load a Hugging Face ``tokenizer.json``.

        ``inputs`` names the model's inputs, a subset of ``input_ids``, ``attention_mask`` and ``token_type_ids``.
        ``multiple_of`` pads to multiples of that length, so that a runtime sees fewer shapes.
        ``prepared``: the texts are those of a prepared dataset, so that nothing is done to them a second time.

        Raises:
            CorruptArtifact: the file is missing or is no tokenizer.
            PermanentError: the model has an input that text alone does not give, or its texts were prepared in a way
                that this version does not know.
        """
        unknown = [name for name in inputs if name not in _FIELDS]
        if unknown:
            raise PermanentError(
                f"the model's input {unknown[0]!r} cannot be made from text; known are {', '.join(_FIELDS)}"
            )
        try:
            tokenizer = Tokenizer.from_file(str(tokenizer_json))
        except Exception as error:  # the library raises bare Exceptions
            raise CorruptArtifact(f"{tokenizer_json.name} cannot be read as a tokenizer: {error}") from error
        # Truncation and padding as saved by training do not count: the signature says how the model is served.
        tokenizer.enable_truncation(max_length=tokenization.max_length)
        tokenizer.enable_padding(
            pad_id=tokenization.pad_id, pad_token=tokenization.pad_token, pad_to_multiple_of=multiple_of
        )
        self._tokenizer = tokenizer
        self._inputs = tuple(inputs)
        try:
            self._prepare = preparer(TextPreparation() if prepared else tokenization)
        except InvalidInput as unknown_words:
            raise PermanentError(
                f"the model's training texts had stop words removed, and {unknown_words}; update Tidemill"
            ) from None
        self.max_length = tokenization.max_length
        """Longest input in tokens."""

    def __call__(self, texts: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Arrays of int64 [texts, length of the longest], cut at the model's longest input.

        Raises:
            InvalidInput: there are no texts.
        """
        if not texts:
            raise InvalidInput("instances: the list is empty; send at least one text")
        encoded = self._tokenizer.encode_batch([self._prepare(text) for text in texts])
        # Padding to a multiple may go beyond the longest input that the model has positions for.
        return {
            name: np.array([getattr(one, _FIELDS[name]) for one in encoded], dtype=np.int64)[:, : self.max_length]
            for name in self._inputs
        }


_FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


def validate_instances(instances: object) -> list[str]:
    """The texts of a request's ``instances``: each a string or ``{"text": string}``.

    Raises:
        InvalidInput: names the index and the field, what was found and what was expected.
    """
    if not isinstance(instances, list | tuple):
        raise InvalidInput(f"instances: expected a list of texts, got {_kind(instances)}")
    if not instances:
        raise InvalidInput("instances: the list is empty; send at least one text")
    return [_text(instance, f"instances[{index}]") for index, instance in enumerate(instances)]


def _text(instance: object, where: str) -> str:
    if isinstance(instance, Mapping):
        if "text" not in instance:
            found = ", ".join(repr(str(key)) for key in list(instance)[:5]) or "nothing"
            raise InvalidInput(f"{where}: field 'text' is missing (found {found}); {_EXPECTED}")
        extra = [str(key) for key in instance if key != "text"]
        if extra:
            raise InvalidInput(f"{where}: field {extra[0]!r} is not known; {_EXPECTED}")
        instance, where = instance["text"], f"{where}.text"
        if not isinstance(instance, str):
            raise InvalidInput(f"{where}: expected a string, got {_kind(instance)}")
    if not isinstance(instance, str):
        raise InvalidInput(f"{where}: {_EXPECTED}, got {_kind(instance)}")
    if len(instance) > MAX_CHARACTERS:
        raise InvalidInput(
            f"{where}: the text has {len(instance):,} characters, at most {MAX_CHARACTERS:,} are taken; shorten it"
        )
    try:
        instance.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{where}: character {error.start} is half of a surrogate pair, which is no Unicode text; "
            "send the whole character"
        ) from None
    return instance


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Probabilities over the last axis; stable for large logits."""
    wide = np.asarray(logits, dtype=np.float64)
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float64)


def predictions(logits: NDArray[np.floating[Any]], labels: Sequence[str]) -> list[dict[str, Any]]:
    """One ``{"label", "score", "scores"}`` for each row of ``logits`` [batch, labels].

    ``score`` is the probability of ``label``; ``scores`` holds the probability of every label.

    Raises:
        PermanentError: the logits do not fit the labels, or the model gave something that is not a number.
    """
    if logits.ndim != 2 or logits.shape[1] != len(labels):
        raise PermanentError(
            f"the model gave an output of shape {list(logits.shape)} for {len(labels)} labels; "
            "its package is inconsistent"
        )
    if not np.isfinite(logits).all():
        raise PermanentError("the model gave an output that is not a number; compress or train it again")
    return [
        {
            "label": labels[int(row.argmax())],
            "score": float(row.max()),
            "scores": {label: float(score) for label, score in zip(labels, row, strict=True)},
        }
        for row in softmax(logits)
    ]


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, Mapping):
        return "object"
    return "list" if isinstance(value, list | tuple) else type(value).__name__
