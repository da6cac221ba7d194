"""The model as training left it: loads the PyTorch network of a package. Knows no ONNX and no OpenVINO."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification

from tidemill.errors import CorruptArtifact, PermanentError
from tidemill.modelpack import ModelPackage, Variant


def open_trained(directory: Path) -> tuple[ModelPackage, Variant]:
    """The trained package, every byte checked, and its variant with the full weights.

    Raises:
        CorruptArtifact: a file is missing or changed; names it.
        PermanentError: it holds no safetensors weights or takes no text.
    """
    package = ModelPackage.open(directory)
    package.verify()
    if package.signature.tokenization is None:
        raise PermanentError("the trained model has no tokenizer in its signature; only text models are compressed")
    for variant in package.variants.values():
        if variant.format == "safetensors":
            return package, variant
    raise PermanentError(
        f"the trained model holds no safetensors weights (only {', '.join(package.variants)}); train it again"
    )


class Network:
    """The PyTorch network as a function from NumPy arrays to logits, float32, in evaluation mode."""

    def __init__(self, directory: Path, *, attention: str | None = None) -> None:
        """Load the weights from a variant's directory.

        ``attention`` is the implementation that transformers uses; its own choice when None.

        Raises:
            CorruptArtifact: transformers cannot load them.
        """
        options = {} if attention is None else {"attn_implementation": attention}
        try:
            self.module: Any = AutoModelForSequenceClassification.from_pretrained(
                directory,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                **options,
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            first = str(error).strip().split("\n")[0]
            raise CorruptArtifact(f"model variant {directory.name!r} cannot be loaded: {first}") from error
        self.module.eval()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Logits float32 [batch, labels]."""
        with torch.inference_mode():
            output = self.module(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        return np.asarray(output.logits.numpy(), dtype=np.float32)
