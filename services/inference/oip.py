"""The Open Inference Protocol v2 on the wire: requests and responses, JSON and binary tensors. Knows no model.

Sources: the protocol's REST specification (kserve/open-inference-protocol) and Triton's binary tensor data
extension: after the JSON header, whose length is in ``Inference-Header-Content-Length``, the tensors' bytes follow
in order; an element of BYTES is its length as four little-endian bytes and then itself.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from services.inference.web.bodies import decode
from services.inference.web.problems import InvalidInstances
from tidemill.errors import InvalidInput

HEADER_LENGTH = "Inference-Header-Content-Length"
TEXT_INPUT = "text"
_LENGTH_DIGITS = 12
_COMPRESS_FROM = 4096
"""Responses below this many bytes are not worth the time."""


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class _Requested(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class _Request(msgspec.Struct):
    inputs: list[_Tensor]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[_Requested] | None = None


_decoder = msgspec.json.Decoder(_Request)


@dataclass(frozen=True)
class InferRequest:
    """A request as understood: the texts, and which outputs are wanted and how."""

    id: str | None
    texts: list[str]
    outputs: dict[str, bool]
    """Names in the order wanted; True for binary. Empty: all of them, as ``binary`` says."""
    binary: bool


@dataclass(frozen=True)
class OutputTensor:
    """One output: float32 values, or strings for BYTES."""

    name: str
    datatype: str
    shape: Sequence[int]
    values: NDArray[np.float32] | Sequence[str]

    def encoded(self) -> bytes:
        """The tensor's bytes."""
        if isinstance(self.values, np.ndarray):
            return np.ascontiguousarray(self.values, dtype="<f4").tobytes()
        return b"".join(struct.pack("<I", len(raw)) + raw for raw in (text.encode() for text in self.values))

    def listed(self) -> list[Any]:
        """The tensor's elements in one flat list."""
        if isinstance(self.values, np.ndarray):
            flat: list[Any] = self.values.ravel().tolist()
            return flat
        return list(self.values)


def parse_request(body: bytes, header_length: str | None) -> InferRequest:
    """Understand a request's body.

    Raises:
        InvalidInput: malformed; names the field.
        InvalidInstances: the input is well-formed but not what the model takes.
    """
    header, binary = _divide(body, header_length)
    request = decode(_decoder, header)
    names = [tensor.name for tensor in request.inputs]
    if names != [TEXT_INPUT]:
        raise InvalidInstances(f"inputs: expected one input named {TEXT_INPUT!r}, got {', '.join(names) or 'none'}")
    outputs = {}
    default = bool(request.parameters.get("binary_data_output", False))
    for output in request.outputs or ():
        _refuse_extensions(output.parameters, f"outputs: {output.name}")
        outputs[output.name] = bool(output.parameters.get("binary_data", default))
    return InferRequest(request.id, _texts(request.inputs[0], binary), outputs, default)


def response(
    request: InferRequest, *, model: str, version: int, outputs: Mapping[str, OutputTensor]
) -> tuple[bytes, dict[str, str]]:
    """The response's body and headers.

    Raises:
        InvalidInput: an output was asked for that the model does not have.
    """
    wanted = request.outputs or dict.fromkeys(outputs, request.binary)
    described: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name, binary in wanted.items():
        if name not in outputs:
            raise InvalidInput(f"outputs: the model has no output {name!r}; it has {', '.join(outputs)}")
        output = outputs[name]
        entry: dict[str, Any] = {"name": name, "datatype": output.datatype, "shape": list(output.shape)}
        if binary:
            blobs.append(output.encoded())
            entry["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            entry["data"] = output.listed()
        described.append(entry)
    document: dict[str, Any] = {"model_name": model, "model_version": str(version), "outputs": described}
    if request.id is not None:
        document["id"] = request.id
    header = orjson.dumps(document)
    if not blobs:
        return header, {"Content-Type": "application/json"}
    return b"".join((header, *blobs)), {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(header))}


def compress(body: bytes, accepted: str) -> tuple[bytes, dict[str, str]]:
    """``body`` as the client's ``Accept-Encoding`` allows, with the header that says so."""
    encodings = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
    encoding = next((one for one in ("gzip", "deflate") if one in encodings), None)
    if encoding is None or len(body) < _COMPRESS_FROM:
        return body, {}
    squeeze = zlib.compressobj(1, wbits=16 + zlib.MAX_WBITS if encoding == "gzip" else zlib.MAX_WBITS)
    return squeeze.compress(body) + squeeze.flush(), {"Content-Encoding": encoding, "Vary": "Accept-Encoding"}


def _divide(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    if header_length is None:
        return body, b""
    length = int(header_length) if header_length.isdecimal() and len(header_length) <= _LENGTH_DIGITS else None
    if length is None or length > len(body):
        raise InvalidInput(
            f"{HEADER_LENGTH} is {header_length[:20]!r}; it must be a length within the {len(body)} byte body"
        )
    return body[:length], body[length:]


def _texts(tensor: _Tensor, binary: bytes) -> list[str]:
    where = f"inputs: {tensor.name}"
    _refuse_extensions(tensor.parameters, where)
    if tensor.datatype != "BYTES":
        raise InvalidInstances(f"{where}: datatype is {tensor.datatype}, the model takes BYTES (UTF-8 text)")
    shape = tensor.shape
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)) or shape[0] < 1:
        raise InvalidInstances(f"{where}: shape is {shape}; send [n] or [n, 1] with n of at least 1")
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        if tensor.data is None:
            raise InvalidInput(f"{where}: neither data nor the parameter binary_data_size is given")
        texts = _listed(tensor.data, where)
    else:
        if not isinstance(size, int) or size != len(binary):
            raise InvalidInput(f"{where}: binary_data_size is {size}, but {len(binary)} bytes follow the header")
        texts = _unpacked(binary, where)
    if len(texts) != shape[0]:
        raise InvalidInput(f"{where}: shape is {shape}, but there are {len(texts)} elements")
    return texts


def _listed(data: list[Any], where: str) -> list[str]:
    flat = [one[0] if isinstance(one, list) and len(one) == 1 else one for one in data]
    for index, one in enumerate(flat):
        if not isinstance(one, str):
            raise InvalidInstances(f"{where}: data[{index}] is not a string")
    return flat


def _unpacked(binary: bytes, where: str) -> list[str]:
    texts: list[str] = []
    offset = 0
    while offset < len(binary):
        start = offset + 4
        length = int.from_bytes(binary[offset:start], "little")
        if start > len(binary) or start + length > len(binary):
            raise InvalidInput(f"{where}: element {len(texts)} reaches beyond the binary data")
        offset = start + length
        try:
            texts.append(binary[start:offset].decode())
        except UnicodeDecodeError as error:
            raise InvalidInstances(f"{where}: element {len(texts)} is not UTF-8 ({error.reason})") from None
    return texts


def _refuse_extensions(parameters: Mapping[str, Any], where: str) -> None:
    for name in ("shared_memory_region", "classification"):
        if parameters.get(name):
            raise InvalidInput(f"{where}: the extension {name!r} is not offered here; leave the parameter out")
