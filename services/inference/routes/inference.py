"""The Open Inference Protocol v2 over REST: metadata, readiness, inference."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from services.inference import oip
from services.inference.access.caller import project_of
from services.inference.gateway import gateway_of, program_version
from services.inference.routes import prediction
from services.inference.serving.errors import NotReady
from services.inference.serving.version import ServedVersion
from services.inference.web.bodies import read_body
from services.inference.web.operations import ANYBODY, PUBLIC, Operation, json_response
from tidemill.contracts import Scope

_PLATFORMS = {"onnx": "onnxruntime_onnx", "openvino": "openvino"}


async def server_metadata(_: Request) -> Response:
    """Name, version and extensions."""
    return json_response({"name": "tidemill", "version": program_version(), "extensions": ["binary_tensor_data"]})


async def live(_: Request) -> Response:
    """The process answers."""
    return json_response({"live": True})


async def ready(request: Request) -> Response:
    """The deployments known at the start are loaded."""
    is_ready = gateway_of(request).ready.is_set()
    return json_response({"ready": is_ready}, 200 if is_ready else 503)


async def model_metadata(request: Request) -> Response:
    """A model's inputs and outputs."""
    served = _served(request)
    status = next(one for one in gateway_of(request).models.status(served.project) if one.name == served.name)
    labels = len(served.labels)
    return json_response(
        {
            "name": served.name,
            "versions": [str(number) for number, _ in status.versions],
            "platform": _PLATFORMS.get(served.variant.format, served.variant.format),
            "inputs": [{"name": oip.TEXT_INPUT, "datatype": "BYTES", "shape": [-1]}],
            "outputs": [
                {"name": "label", "datatype": "BYTES", "shape": [-1]},
                {"name": "score", "datatype": "FP32", "shape": [-1]},
                {"name": "scores", "datatype": "FP32", "shape": [-1, labels]},
                {"name": "logits", "datatype": "FP32", "shape": [-1, labels]},
            ],
            "parameters": {"labels": served.labels},
        }
    )


async def model_ready(request: Request) -> Response:
    """The model can be asked."""
    try:
        served = _served(request)
    except NotReady:
        return json_response({"name": request.path_params["name"], "ready": False}, 503)
    return json_response({"name": served.name, "ready": True})


async def infer(request: Request) -> Response:
    """Predictions as tensors."""
    gateway = gateway_of(request)
    name, version = request.path_params["name"], request.path_params.get("version")
    project = project_of(request)
    gateway.models.choose(project, name, version)  # an unknown model is no reason to read a body
    body = await read_body(request, gateway.limits.predict_bytes)
    asked = oip.parse_request(body, request.headers.get(oip.HEADER_LENGTH))
    with gateway.models.lease(project, name, version) as served:
        logits = await prediction.predict(gateway, served, asked.texts)
    rows = len(asked.texts)
    scores = served.task.softmax(logits).astype("float32")
    best = logits.argmax(axis=-1)
    outputs = {
        tensor.name: tensor
        for tensor in (
            oip.OutputTensor("label", "BYTES", [rows], [served.labels[index] for index in best]),
            oip.OutputTensor("score", "FP32", [rows], scores.max(axis=-1)),
            oip.OutputTensor("scores", "FP32", scores.shape, scores),
            oip.OutputTensor("logits", "FP32", logits.shape, logits),
        )
    }
    answer, headers = oip.response(asked, model=served.name, version=served.number, outputs=outputs)
    answer, encoding = oip.compress(answer, request.headers.get("accept-encoding", ""))
    return Response(answer, headers=headers | encoding)


def _served(request: Request) -> ServedVersion:
    parameters = request.path_params
    return gateway_of(request).models.choose(project_of(request), parameters["name"], parameters.get("version"))


def _for_model(
    method: str, suffix: str, handler: object, summary: str, scopes: tuple[Scope, ...], problems: tuple[int, ...]
) -> list[Operation]:
    return [
        Operation(method, f"/v2/models/{{name:name}}{version}{suffix}", handler, summary, "inference protocol",  # type: ignore[arg-type]
                  scopes=scopes, answers=dict, takes=dict if method == "POST" else None, problems=problems)
        for version in ("", "/versions/{version:number}")
    ]  # fmt: skip


OPERATIONS = (
    *_for_model(
        "POST", "/infer", infer, "Inference on tensors, JSON or binary", ("predict",), (400, 404, 413, 422, 429, 503),
    ),
    Operation(
        "GET", "/v2", server_metadata, "Server metadata", "inference protocol",
        scopes=ANYBODY, answers=dict, problems=(),
    ),
    Operation(
        "GET", "/v2/health/live", live, "Liveness", "inference protocol", scopes=PUBLIC, answers=dict, problems=(),
    ),
    Operation(
        "GET", "/v2/health/ready", ready, "Readiness", "inference protocol",
        scopes=PUBLIC, answers=dict, problems=(503,),
    ),
    *_for_model("GET", "", model_metadata, "Inputs and outputs of a model", ("predict", "read"), (404, 503)),
    *_for_model("GET", "/ready", model_ready, "Readiness of a model", ("predict", "read"), (404, 503)),
)  # fmt: skip
