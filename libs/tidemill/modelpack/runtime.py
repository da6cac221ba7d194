"""Runs a variant of a model package: NumPy arrays in, NumPy array out. Knows no task, no tokenizer, no torch.

The runtimes are imported when a session of theirs is opened, so that a server pays for what it serves with alone.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tidemill.errors import CorruptArtifact, InvalidInput, NotFound, PermanentError
from tidemill.modelpack.schema import Precision, Variant

Array = NDArray[Any]


class Session(Protocol):
    """A loaded variant. ``run`` may be called from several threads at once."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """The graph's inputs in its order."""

    def run(self, inputs: Mapping[str, Array]) -> NDArray[np.float32]:
        """The graph's first output for one batch.

        ``inputs`` holds at least the graph's inputs with their dtypes (``int64`` token ids of shape [batch,
        sequence] for a text model); further ones are ignored. The result is float32 and the caller's own.

        Raises:
            InvalidInput: an input is missing or has a shape or dtype that the graph does not take.
        """


def open_session(variant_dir: Path, variant: Variant, *, threads: int = 1, parallel: int = 1) -> Session:
    """Load ``variant`` from its directory.

    ``threads`` is how many one call may use. ``parallel`` is how many calls are to run at the same time (OpenVINO
    keeps a stream for each; ONNX Runtime with one thread works on the caller's and needs none).

    Raises:
        NotFound: the variant's file is not there.
        CorruptArtifact: the runtime cannot read the file; names it.
        InvalidInput: the variant's format is one that needs a training framework.
    """
    path = variant_dir / variant.entry
    if not path.is_file():
        raise NotFound(f"model variant {variant.name!r}: {variant.entry} is not in {variant_dir.name}")
    try:
        if variant.format == "onnx":
            return OnnxSession(path, threads=threads)
        if variant.format == "openvino":
            return OpenVinoSession(path, threads=threads, parallel=parallel, precision=variant.precision)
    except Exception as error:  # each runtime raises types of its own, some of them bare RuntimeErrors
        raise CorruptArtifact(
            f"model variant {variant.name!r}: {variant.entry} cannot be loaded: {_first_line(error)}"
        ) from error
    raise InvalidInput(
        f"model variant {variant.name!r} holds {variant.format} weights, which no runtime serves without a training "
        "framework; serve one of the model's ONNX or OpenVINO variants"
    )


class OnnxSession:
    """ONNX Runtime on the CPU."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        runtime: Any = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle threads must not burn the cores that other models and the event loop need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input_names: tuple[str, ...] = tuple(one.name for one in self._session.get_inputs())
        self._output = self._session.get_outputs()[0].name

    def run(self, inputs: Mapping[str, Array]) -> NDArray[np.float32]:
        """See ``Session``."""
        feed = _select(inputs, self.input_names)
        try:
            result = self._session.run([self._output], feed)[0]
        except Exception as error:  # the runtime's own exception types are not importable without it
            raise InvalidInput(f"the model does not take this input: {_first_line(error)}") from error
        return np.asarray(result, dtype=np.float32)


class OpenVinoSession:
    """OpenVINO on the CPU: one compiled model, one infer request for each thread that calls."""

    def __init__(self, path: Path, *, threads: int = 1, parallel: int = 1, precision: Precision = "fp32") -> None:
        openvino = load_openvino()
        config = {
            "PERFORMANCE_HINT": "LATENCY" if parallel == 1 else "THROUGHPUT",
            "INFERENCE_NUM_THREADS": threads * parallel,
            "NUM_STREAMS": parallel,
            # OpenVINO turns fp32 into bf16 by itself where the processor has it; what is served is what was measured.
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            # Pinned threads of two models or two replicas would share one core and leave the others idle.
            "ENABLE_CPU_PINNING": False,
        }
        self._compiled: Any = openvino.Core().compile_model(str(path), "CPU", config)
        self.input_names: tuple[str, ...] = tuple(one.get_any_name() for one in self._compiled.inputs)
        self._local = threading.local()

    def run(self, inputs: Mapping[str, Array]) -> NDArray[np.float32]:
        """See ``Session``."""
        feed = _select(inputs, self.input_names)
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        try:
            result = request.infer(feed, share_inputs=True)[0]
        except RuntimeError as error:
            raise InvalidInput(f"the model does not take this input: {_first_line(error)}") from error
        # The array lies in the request's memory, which its next call overwrites.
        return np.array(result, dtype=np.float32)


def load_openvino() -> Any:
    """Import OpenVINO with its usage reporting off; the one way in, before NNCF too.

    ``import openvino`` sends an event to Google Analytics by default (``openvino.tools.ovc``), and so does NNCF.
    Both fall back to a stub when the package ``openvino_telemetry`` is absent, which is what this makes it.

    Raises:
        PermanentError: OpenVINO is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise PermanentError(
            f"OpenVINO is not installed here ({error}); install tidemill[inference], or serve an ONNX variant"
        ) from error


def _select(inputs: Mapping[str, Array], names: tuple[str, ...]) -> dict[str, Array]:
    missing = [name for name in names if name not in inputs]
    if missing:
        raise InvalidInput(f"the model's input {missing[0]!r} is missing; it takes {', '.join(names)}")
    return {name: inputs[name] for name in names}


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
