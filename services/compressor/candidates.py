"""Makes the variants of a model, each in a folder of its own. Knows what a candidate is called in the recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.compressor.export import check_export, export_onnx
from services.compressor.original import Network
from services.compressor.quantize import calibration_batches, convert_openvino, quantize_onnx, quantize_openvino
from tidemill.contracts.recipe import CompressionCandidate
from tidemill.modelpack import Precision, Signature, Variant, VariantFormat
from tidemill.modelpack.runtime import open_session
from tidemill.tasks.text_classification.serving import TextEncoder

EXPORT: CompressionCandidate = "onnx-fp32"
"""What every other candidate is made from, so it is made in any case."""

_CHECKED_ROWS = 32


@dataclass(frozen=True)
class Kind:
    """What a candidate's files are."""

    format: VariantFormat
    precision: Precision
    entry: str


KINDS: dict[CompressionCandidate, Kind] = {
    "onnx-fp32": Kind("onnx", "fp32", "model.onnx"),
    "onnx-int8": Kind("onnx", "int8", "model.onnx"),
    "openvino-fp32": Kind("openvino", "fp32", "model.xml"),
    "openvino-int8": Kind("openvino", "int8", "model.xml"),
}


@dataclass(frozen=True)
class Candidate:
    """A variant that was made: its files lie in ``directory``, and nothing else does."""

    name: CompressionCandidate
    directory: Path

    @property
    def kind(self) -> Kind:
        """What its files are."""
        return KINDS[self.name]

    @property
    def variant(self) -> Variant:
        """Its description, for a runtime to open it."""
        size = sum(path.stat().st_size for path in self.directory.rglob("*") if path.is_file())
        return Variant(
            name=self.name,
            format=self.kind.format,
            precision=self.kind.precision,
            entry=self.kind.entry,
            size_bytes=size,
        )


def make_export(
    network: Network, signature: Signature, folder: Path, encoder: TextEncoder, texts: Sequence[str]
) -> Candidate:
    """The ONNX export at full precision in ``folder/onnx-fp32``, compared with the network on some of ``texts``.

    Raises:
        PermanentError: the model cannot be exported, or the graph is not the same function.
    """
    made = Candidate(EXPORT, _new_folder(folder, EXPORT))
    export_onnx(network, signature, made.directory / made.kind.entry)
    check_export(open_session(made.directory, made.variant), network, encoder(texts[:_CHECKED_ROWS]))
    return made


def make_candidate(
    name: CompressionCandidate,
    export: Candidate,
    folder: Path,
    encoder: TextEncoder,
    calibration: Sequence[str],
    progress: Callable[[str], None],
) -> Candidate:
    """Make ``folder/<name>`` from the export; ``calibration`` holds the texts that int8 ranges are taken from.

    Raises whatever the tool at work raises when the graph is not to its liking.
    """
    made = Candidate(name, _new_folder(folder, name))
    source, target = export.directory / export.kind.entry, made.directory / made.kind.entry
    if name == "onnx-int8":
        quantize_onnx(source, target)
    elif name == "openvino-fp32":
        convert_openvino(source, target)
    elif name == "openvino-int8":
        batches = calibration_batches(encoder, calibration)

        def say(seen: int) -> None:
            # NNCF reads them twice: for SmoothQuant, then for the ranges.
            progress(f"calibrating {name}: {min(1.0, seen / (2 * len(batches))):.0%}")

        quantize_openvino(source, target, batches, say)
    return made


def _new_folder(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir(parents=True)
    return made
