"""The small JSON files of a model package.

signature.json          task, labels, inputs, outputs, how text becomes tensors, which variant serves
metrics.json            quality on the validation and test parts, figures of every variant
lineage.json            digests of what it was made from, and the recipe's sections
README.md               model card for people
tokenizer/              tokenizer.json (Hugging Face tokenizers format) and what transformers needs beside it
variants/<name>/        variant.json and the files of one target
manifest.json           sha256 of every other file: written last, checked by ``ModelPackage.verify``
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tidemill.contracts import ArtifactRef, EvaluationSummary, FoldSummary, Frozen, VariantFigures
from tidemill.texts import TextPreparation

VariantFormat = Literal["safetensors", "onnx", "openvino"]
Precision = Literal["fp32", "bf16", "int8"]


class Tensor(Frozen):
    """Name, dtype (NumPy name, e.g. ``int64``) and shape (-1: any) of one tensor of the model graph."""

    name: str
    dtype: str
    shape: list[int]


class Tokenization(TextPreparation):
    """How text becomes ``input_ids``, ``attention_mask`` and ``token_type_ids`` where the graph has it.

    The text is first prepared as the training texts were.
    """

    file: str = "tokenizer/tokenizer.json"
    max_length: int
    pad_id: int
    pad_token: str


class Signature(Frozen):
    """What the model takes and gives. Enough to serve it without knowing where it comes from."""

    format: Literal[1] = 1
    task: str
    labels: list[str]
    inputs: list[Tensor]
    outputs: list[Tensor]
    """``logits`` float32 [batch, labels] for text classification."""
    tokenization: Tokenization | None = None
    serving_variant: str
    """The variant that a server loads unless told otherwise."""


class Variant(Frozen):
    """``variants/<name>/variant.json``: one target of the model."""

    name: str
    format: VariantFormat
    precision: Precision
    entry: str
    """File that a runtime opens, relative to the variant's directory: ``model.onnx``, ``model.xml``, …"""
    size_bytes: int = Field(ge=0)
    """Size of the variant's weights and graph files."""


class Metrics(Frozen):
    """``metrics.json``: everything that was measured."""

    validation: EvaluationSummary
    test: EvaluationSummary
    cross_validation: FoldSummary | None = None
    variants: list[VariantFigures] = Field(default_factory=list)
    choice: str = ""
    """Why the serving variant was chosen, in a sentence for a person."""
    failed: dict[str, str] = Field(default_factory=dict)
    """Variants that could not be made, with the reason."""


class Lineage(Frozen):
    """``lineage.json``: what it was made from. No run id, no time: the same inputs give the same bytes."""

    dataset: ArtifactRef
    trained: ArtifactRef | None = None
    """The package that this one was compressed from."""
    base: str
    base_digest: str | None = None
    """sha256 over the base model's files."""
    parts: dict[str, int] = Field(default_factory=dict)
    """Examples by part of the dataset."""
    recipe: dict[str, Any] = Field(default_factory=dict)
    revision: int
