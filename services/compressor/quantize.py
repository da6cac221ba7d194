"""ONNX to int8 and to OpenVINO. Knows graphs and calibration tensors, no task and no recipe."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic

from services.compressor.quiet import quiet
from tidemill.modelpack.runtime import load_openvino

openvino = load_openvino()
import nncf  # noqa: E402  - only once its usage reporting is off

Inputs = dict[str, NDArray[np.int64]]

_CALIBRATION_BATCH = 16
"""NNCF's bookkeeping costs more than the model: a batch at a time it takes two thirds of the time."""


def quantize_onnx(source: Path, target: Path) -> None:
    """Dynamic int8: weights per channel, embeddings too; activations are quantized by their range in each call.

    The graph must not hold ``value_info``, which the quantizer would take for the types of its new tensors.
    """
    with quiet():
        quantize_dynamic(
            source,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            # Without VNNI, sums of two 8-bit products overflow their 16 bits: weights have to do with 7 bits there.
            reduce_range=not _multiplies_int8_exactly(),
            use_external_data_format=source.with_name("model.onnx_data").exists(),
        )


def convert_openvino(source: Path, target: Path) -> None:
    """OpenVINO IR at full precision: ``target`` (.xml) and the weights beside it (.bin)."""
    with quiet():
        openvino.save_model(openvino.convert_model(source), target, compress_to_fp16=False)


def quantize_openvino(
    source: Path, target: Path, calibration: Sequence[Inputs], progress: Callable[[int], None]
) -> None:
    """Post-training int8 by NNCF, its ranges taken from ``calibration``; ``source`` is an ONNX graph.

    Weights are symmetric per channel, activations asymmetric; SmoothQuant (Xiao et al. 2022) moves outliers of the
    activations into the weights first, as ``ModelType.TRANSFORMER`` has it; without it MiniLM on banking77 loses
    0.7 points more. ``progress`` is called with the number of batches that went through, twice as many as there are.
    """
    seen = 0

    def feed(inputs: Inputs) -> Inputs:
        nonlocal seen
        seen += 1
        progress(seen)
        return inputs

    with quiet():
        quantized = nncf.quantize(
            openvino.convert_model(source),
            nncf.Dataset(calibration, feed),
            model_type=nncf.ModelType.TRANSFORMER,
            # On VNNI the asymmetric activations run on OpenVINO's faster kernel and lose less.
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(calibration),
        )
        openvino.save_model(quantized, target, compress_to_fp16=False)


def _multiplies_int8_exactly() -> bool:
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "vnni" in flags


def calibration_batches(encode: Callable[[Sequence[str]], Inputs], texts: Sequence[str]) -> list[Inputs]:
    """``texts`` as batches of rows of one length: padding would count towards the ranges."""
    by_length: dict[int, list[Inputs]] = defaultdict(list)
    for text in texts:
        row = encode([text])
        by_length[next(iter(row.values())).shape[1]].append(row)
    return [
        {name: np.concatenate([row[name] for row in rows[start : start + _CALIBRATION_BATCH]]) for name in rows[0]}
        for _, rows in sorted(by_length.items())
        for start in range(0, len(rows), _CALIBRATION_BATCH)
    ]
