"""PyTorch to ONNX by ``torch.onnx.export(dynamo=True)``, checked against the network on real rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from services.compressor.original import Network
from services.compressor.quiet import quiet
from tidemill.errors import PermanentError
from tidemill.modelpack import Signature
from tidemill.modelpack.runtime import Session

TOLERANCE = 1e-3
"""Largest difference of a logit between ONNX Runtime and PyTorch, relative to the largest logit."""

_ONE_FILE_LIMIT = 2_000_000_000
"""A protobuf file holds less than 2 GiB; larger weights go to a file beside it."""


def export_onnx(network: Network, signature: Signature, target: Path) -> None:
    """Write ``network`` to ``target`` with a free batch and sequence size.

    Raises:
        PermanentError: the architecture cannot be exported; says where the exporter gave up.
    """
    assert signature.tokenization is not None
    length = min(16, signature.tokenization.max_length)
    names = [tensor.name for tensor in signature.inputs]
    # Two rows and not one: the exporter takes a dimension of size 1 for a constant.
    example = {
        name: torch.ones(2, length, dtype=torch.int64) if name != "token_type_ids" else torch.zeros(2, length).long()
        for name in names
    }
    try:
        with quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                network.module,
                args=(),
                kwargs=example,
                dynamo=True,
                input_names=names,
                output_names=["logits"],
                dynamic_shapes={name: {0: "batch", 1: "sequence"} for name in names},
                verbose=False,
            )
    except Exception as error:  # whatever tracing somebody's architecture may raise
        kind = network.module.config.model_type
        raise PermanentError(
            f"a model of type {kind!r} cannot be exported to ONNX: {str(error).strip().split(chr(10))[0]}; "
            "take another base model"
        ) from error
    model = program.model_proto
    _strip(model)
    if model.ByteSize() < _ONE_FILE_LIMIT:
        onnx.save_model(model, target)
    else:
        onnx.save_model(
            model, target, save_as_external_data=True, all_tensors_to_one_file=True, location="model.onnx_data"
        )


def check_export(session: Session, network: Network, inputs: Mapping[str, NDArray[Any]]) -> float:
    """Largest relative difference between the exported graph and ``network`` on ``inputs``.

    Raises:
        PermanentError: it is beyond ``TOLERANCE``, so the graph is not the same function.
    """
    expected = network.run(inputs)
    difference = float(np.abs(session.run(inputs) - expected).max() / max(1.0, float(np.abs(expected).max())))
    if not difference <= TOLERANCE:
        raise PermanentError(
            f"the exported ONNX graph differs from the PyTorch model by {difference:.2g} of the largest logit "
            f"(at most {TOLERANCE:g} is allowed); take another base model"
        )
    return difference


def _strip(model: onnx.ModelProto) -> None:
    """Drop what no runtime needs: shape hints that break quantize_dynamic, and stack traces with local paths."""
    del model.metadata_props[:]
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]
    for node in model.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    for tensor in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        del tensor.metadata_props[:]
    for function in model.functions:
        del function.metadata_props[:]
        for node in function.node:
            node.ClearField("doc_string")
            del node.metadata_props[:]
