"""The training half of text classification: model, tokenizer, batches. Needs torch; serving never imports it.

Knows no files but the model's own, no recipe and no trainer: ``services.trainer`` and the compressor put it to use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch.utils.data import Dataset, Sampler
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from tidemill.contracts.recipe import FromScratch
from tidemill.errors import InvalidInput
from tidemill.modelpack import Signature, Tensor, Tokenization
from tidemill.tasks.text_classification.vocabulary import END, MASK, PAD, START, UNKNOWN, learn_wordpiece
from tidemill.texts import TextPreparation

TASK = "text-classification"


def load_tokenizer(folder: Path) -> Any:
    """The fast tokenizer of a model folder.

    Raises:
        InvalidInput: there is none, it is a slow one, or it has no padding token.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise InvalidInput(f"base model {folder.name}: its tokenizer cannot be loaded: {_first_line(error)}") from None
    if not tokenizer.is_fast:
        raise InvalidInput(f"base model {folder.name}: has no tokenizer.json; take a base with a fast tokenizer")
    if tokenizer.pad_token_id is None:
        raise InvalidInput(f"base model {folder.name}: its tokenizer has no padding token; take an encoder model")
    return tokenizer


def new_tokenizer(texts: Sequence[str], vocabulary: int, max_length: int) -> Any:
    """A BERT-style tokenizer with a vocabulary learned from ``texts``; works for Chinese, character by character."""
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=learn_wordpiece(texts, vocabulary),
        unk_token=UNKNOWN,
        sep_token=END,
        pad_token=PAD,
        cls_token=START,
        mask_token=MASK,
        model_max_length=max_length,
        model_input_names=["input_ids", "attention_mask"],
    )


def load_model(folder: Path, labels: Sequence[str]) -> Any:
    """The encoder of a model folder with a new classification head, float32.

    Weights come from safetensors only and no code from the folder is run.

    Raises:
        InvalidInput: the folder holds no model, one of an unknown architecture, or no safetensors.
    """
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        _set_labels(config, labels)
        model = AutoModelForSequenceClassification.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            # A base that was a classifier has a head of its own, with other labels.
            ignore_mismatched_sizes=True,
        )
    except (OSError, ValueError, ImportError, KeyError, SafetensorError) as error:
        raise InvalidInput(
            f"base model {folder.name}: cannot be loaded as a text classifier: {_first_line(error)}; "
            "take an encoder whose weights are safetensors"
        ) from None
    return model


def new_model(shape: FromScratch, tokenizer: Any, labels: Sequence[str], max_length: int) -> Any:
    """A BERT-style encoder of the given shape with random weights, float32."""
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.hidden_size,
        max_position_embeddings=max_length,
        pad_token_id=tokenizer.pad_token_id,
    )
    _set_labels(config, labels)
    return BertForSequenceClassification(config)


def usable_length(model: Any, tokenizer: Any, wanted: int) -> int:
    """``wanted`` tokens, or as many as the model has positions for."""
    limits = [wanted, int(tokenizer.model_max_length)]
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions:
        embeddings = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
        # RoBERTa and its kin count positions from the padding index on, which leaves fewer of them.
        offset = getattr(embeddings, "padding_idx", None)
        limits.append(positions if offset is None else positions - offset - 1)
    return min(limits)


@dataclass(frozen=True)
class EncodedTexts(Dataset[dict[str, Any]]):
    """Texts as token ids, with their labels as indices. An item is a dictionary of ``input_ids`` and ``labels``."""

    ids: Sequence[Sequence[int]]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.ids[index], "labels": int(self.labels[index])}

    def by_length(self) -> EncodedTexts:
        """The same texts, longest first: batches of it hold little padding."""
        order = np.argsort([-len(ids) for ids in self.ids], kind="stable")
        return EncodedTexts([self.ids[index] for index in order], self.labels[order])


def encode(tokenizer: Any, texts: Sequence[str], labels: NDArray[np.int64], max_length: int) -> EncodedTexts:
    """Tokenize ``texts``, cut to ``max_length`` tokens with the special ones; leaves the tokenizer uncut."""
    backend = tokenizer.backend_tokenizer
    backend.enable_truncation(max_length)
    backend.no_padding()
    try:
        encoded = backend.encode_batch_fast(list(texts), add_special_tokens=True)
    finally:
        # Otherwise the cut would be saved in tokenizer.json, where servers have their own.
        backend.no_truncation()
    return EncodedTexts([item.ids for item in encoded], labels)


class Collator:
    """Pads a batch to its longest text: ``input_ids`` and ``attention_mask`` int64 [batch, length], ``labels``."""

    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch of ``items`` of ``EncodedTexts``."""
        lengths = [len(item["input_ids"]) for item in items]
        shape = (len(items), max(lengths))
        ids = np.full(shape, self._pad_id, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        for row, (item, length) in enumerate(zip(items, lengths, strict=True)):
            ids[row, :length] = item["input_ids"]
            mask[row, :length] = 1
        labels = np.array([item["labels"] for item in items], dtype=np.int64)
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(labels),
        }


class LengthGroupedSampler(Sampler[int]):
    """Shuffled indices in which the texts of a batch have similar lengths.

    The order depends on the seed and the epoch alone, so a resumed epoch goes on where it was. Groups of many
    batches are shuffled together and sorted by length, then whole batches are shuffled: little padding, and little
    less chance than a plain shuffle.
    """

    _BATCHES_PER_GROUP = 50

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = np.asarray(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order; called by the data loader before every epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng([self._seed, self._epoch])
        order = generator.permutation(len(self._lengths))
        group = self._batch_size * min(self._BATCHES_PER_GROUP, max(1, len(order) // (4 * self._batch_size)))
        whole: list[NDArray[np.int64]] = []
        rest: list[NDArray[np.int64]] = []
        for start in range(0, len(order), group):
            members = order[start : start + group]
            members = members[np.argsort(-self._lengths[members], kind="stable")]
            for cut in range(0, len(members), self._batch_size):
                batch = members[cut : cut + self._batch_size]
                (whole if len(batch) == self._batch_size else rest).append(batch)
        # Only the last batch may be short, or all that follow it would straddle two groups.
        for index in generator.permutation(len(whole)):
            yield from whole[index].tolist()
        for batch in rest:
            yield from batch.tolist()


@torch.inference_mode()
def predict_logits(model: Any, texts: EncodedTexts, collator: Collator, *, batch_size: int = 64) -> NDArray[np.float32]:
    """Logits float32 [n, labels] in the order of ``texts``, at full precision, on the device that the model is on."""
    model.eval()
    order = np.argsort([-len(ids) for ids in texts.ids], kind="stable")
    logits = np.empty((len(order), model.config.num_labels), dtype=np.float32)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = collator([texts[int(row)] for row in rows])
        del batch["labels"]
        output = model(**{name: tensor.to(model.device) for name, tensor in batch.items()})
        logits[rows] = output.logits.float().cpu().numpy()
    return logits


def signature(
    tokenizer: Any,
    labels: Sequence[str],
    max_length: int,
    variant: str,
    *,
    preparation: TextPreparation,
) -> Signature:
    """What every text classifier takes and gives; ``preparation`` is what was done to its training texts."""
    tensors = [Tensor(name=name, dtype="int64", shape=[-1, -1]) for name in ("input_ids", "attention_mask")]
    return Signature(
        task=TASK,
        labels=list(labels),
        inputs=tensors,
        outputs=[Tensor(name="logits", dtype="float32", shape=[-1, len(labels)])],
        tokenization=Tokenization(
            max_length=max_length,
            pad_id=tokenizer.pad_token_id,
            pad_token=tokenizer.pad_token,
            strip_html=preparation.strip_html,
            normalize=preparation.normalize,
            lowercase=preparation.lowercase,
            stop_words=preparation.stop_words,
        ),
        serving_variant=variant,
    )


def _set_labels(config: Any, labels: Sequence[str]) -> None:
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}
    config.problem_type = "single_label_classification"


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
