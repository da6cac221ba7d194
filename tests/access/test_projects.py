"""Every operation, asked by one project about another's things: nothing is shown, nothing is done, nothing is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from services.inference.openapi import OPERATIONS
from services.inference.web.operations import PUBLIC, Operation
from tests.access.conftest import OPERATOR, Bench, Things, bearer, eventually
from tests.access.test_keys import issue
from tests.inference.conftest import write_package
from tidemill.bus import Deployments
from tidemill.contracts import DatasetPublished, DeployedVersion, Deployment, RunProgressed, Scope
from tidemill.records.schema import RunRecord
from tidemill.signing import SigningFolder, SigningKey
from tidemill.signing.statement import version_statement

OF_NOBODY = frozenset({"/v2", "/openapi.json", "/docs"})
"""What is the same for everybody."""
LISTS = frozenset(
    {
        "/v1/models",
        "/v1/deployments",
        "/v1/datasets",
        "/v1/runs",
        "/v1/dead-letters",
        "/v1/keys",
        "/v1/status",
        "/v1/audit",
        "/v1/erasures",
    }
)
"""What shows the caller's project without naming anything of it."""
STARTS = frozenset({"POST /v1/datasets", "POST /v1/keys", "POST /v1/models:sign"})
"""What makes something new, of the caller's project."""
BODIES: dict[str, Any] = {
    ":predict": {"instances": ["好"]},
    "/infer": {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["好"]}]},
    ":promote": {"version": 1},
    "/v1/datasets": {"name": "new", "uri": "https://example.org/new.csv"},
    "/v1/keys": {"name": "new", "scopes": ["read"]},
}


def address(operation: Operation, of: Things, key_id: str, what: str = "dataset") -> str:
    """The operation's path with things of a project in it."""
    named: Mapping[str, object] = {
        "{run_id:name}": of.run_id, "{id:name}": of.letter, "{key_id:name}": key_id, "{version:number}": 1,
        "{what:name}": what, "{path:path}": "rows.txt",
        "{name:name}": of.dataset if operation.path.startswith("/v1/datasets") else of.model,
    }  # fmt: skip
    path = operation.path
    for place, value in named.items():
        path = path.replace(place, str(value))
    assert "{" not in path, f"{operation.path} names something that this test does not know"
    return path


def body(operation: Operation) -> Any:
    return next((found for end, found in BODIES.items() if operation.path.endswith(end)), None)


async def ask(http: httpx.AsyncClient, operation: Operation, path: str, key: str) -> httpx.Response:
    document = body(operation) if operation.method == "POST" else None
    return await http.request(operation.method, path, json=document, headers=bearer(key))


def named(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


GUARDED = [operation for operation in OPERATIONS if operation.scopes]
ABOUT_ONE = [
    operation
    for operation in GUARDED
    if operation.path not in OF_NOBODY | LISTS and named(operation) not in STARTS and not operation.of_platform
]


@pytest.fixture(scope="module")
async def admin(http: httpx.AsyncClient) -> str:
    """A key that may do everything in project ``ours``."""
    return str((await issue(http, "ours", scopes=["admin"]))["key"])


@pytest.fixture(scope="module")
async def their_key(http: httpx.AsyncClient) -> dict[str, Any]:
    return await issue(http, "theirs", scopes=["admin"])


@pytest.mark.parametrize("operation", ABOUT_ONE, ids=named)
async def test_what_is_another_projects_is_not_there(
    bench: Bench, http: httpx.AsyncClient, admin: str, their_key: dict[str, Any], operation: Operation
) -> None:
    """As little there as what nobody has: the same status, and the same words but for the name."""
    before = await everything(bench)
    theirs = await ask(http, operation, address(operation, bench.theirs, their_key["key_id"]), admin)
    nobody = Things("ours", "run-of-nobody", "data-nobody", "model-nobody", "f" * 16)
    absent = await ask(http, operation, address(operation, nobody, "0" * 16), admin)
    assert theirs.status_code == 404, theirs.text
    assert told(theirs, bench.theirs, their_key["key_id"]) == told(absent, nobody, "0" * 16)
    assert await everything(bench) == before, "a command was given all the same"


def told(answer: httpx.Response, of: Things, key_id: str) -> str:
    text = answer.json()["detail"]
    for name in (of.run_id, of.dataset, of.model, of.letter, key_id):
        text = text.replace(name, "…")
    return str(text)


async def everything(bench: Bench) -> list[int]:
    """How many commands and events there ever were, and what was decided."""
    last = [(await bench.bus.jetstream.stream_info(stream)).state.last_seq for stream in ("JOBS", "EVENTS")]
    return [*last, *[len(await bench.records.decisions(project)) for project in ("ours", "theirs")]]


READS = [one for one in ABOUT_ONE if one.method == "GET" and not one.path.startswith("/v1/erasures")]
"""Of what both projects have; there is no erasure."""


@pytest.mark.parametrize("operation", READS, ids=named)
async def test_the_same_question_has_an_answer_for_its_own_project(
    bench: Bench, http: httpx.AsyncClient, their_key: dict[str, Any], operation: Operation
) -> None:
    """Else the refusals above would prove nothing."""
    answer = await ask(http, operation, address(operation, bench.theirs, their_key["key_id"]), their_key["key"])
    assert answer.status_code == 200, answer.text


async def test_lists_show_ones_own_alone(bench: Bench, http: httpx.AsyncClient, admin: str, their_key: Any) -> None:
    for key, own, other in (
        (admin, bench.mine, bench.theirs),
        (their_key["key"], bench.theirs, bench.mine),
    ):
        shown = ""
        for path in LISTS:
            answer = await http.get(path, headers=bearer(key))
            assert answer.status_code == 200, answer.text
            shown += answer.text
        for name in (other.run_id, other.dataset, other.model, other.letter):
            assert name not in shown
        for name in (own.run_id, own.dataset, own.model, own.letter):
            assert name in shown


async def test_a_dataset_is_published_in_the_callers_project(bench: Bench, http: httpx.AsyncClient, admin: str) -> None:
    started = await http.post("/v1/datasets", json=BODIES["/v1/datasets"], headers=bearer(admin))
    run = await bench.records.run("ours", started.json()["run_id"])
    assert run is not None
    assert (run.event.project, run.actor) == ("ours", f"key:{admin[3:19]}")
    sneaky = BODIES["/v1/datasets"] | {"project": "theirs"}
    assert (await http.post("/v1/datasets", json=sneaky, headers=bearer(admin))).status_code == 400


async def test_commands_carry_who_gave_them(bench: Bench, http: httpx.AsyncClient, admin: str) -> None:
    async with bench.bus.listening("tidemill.job.register.cpu.ours") as commands:
        await http.post("/v1/models/model-ours:promote", json={"version": 1, "alias": "b"}, headers=bearer(admin))
        await http.post("/v1/models/model-ours:promote", json={"version": 1}, headers=bearer(OPERATOR, "ours"))
        async with asyncio.timeout(10):
            given = [(await anext(commands))[1] for _ in range(2)]
    assert [(one["command"], one["actor"]) for one in given] == [
        ("promote-version", f"key:{admin[3:19]}"),
        ("promote-version", "operator"),
    ]


async def test_live_events_are_of_ones_own_project(bench: Bench, http: httpx.AsyncClient, admin: str) -> None:
    """Both projects have a run of the same id; each hears of its own."""
    await running(bench, "run-twin", "ours", "theirs")
    async with http.stream("GET", "/v1/runs/run-twin/events", headers=bearer(admin)) as answer:
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        assert await anext(lines) == "event: run"
        for project, message in (("theirs", "secret"), ("ours", "hello")):
            progress = RunProgressed(project=project, run_id="run-twin", stage="ingest", message=message, fraction=0.5)
            await bench.bus.report(progress)
        seen = ""
        async with asyncio.timeout(10):
            async for line in lines:
                seen += line
                if "hello" in line:
                    break
        assert "secret" not in seen


async def running(bench: Bench, run_id: str, *projects: str) -> None:
    """A run that goes on, on record."""
    for project in projects:
        event = DatasetPublished(project=project, run_id=run_id, name="twin", uri="https://example.org/t.csv")
        await bench.records.create_run(RunRecord(event=event, created_at=datetime.now(UTC)))


async def test_a_stream_ends_with_its_key(bench: Bench, http: httpx.AsyncClient) -> None:
    await running(bench, "run-watched", "ours")
    made = await issue(http, "ours", scopes=["read"])
    async with http.stream("GET", "/v1/runs/run-watched/events", headers=bearer(made["key"])) as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "event: run"
        await http.delete(f"/v1/keys/{made['key_id']}", headers=bearer(OPERATOR, "ours"))
        await bench.bus.report(RunProgressed(project="ours", run_id="run-watched", stage="ingest", message="secret"))
        async with asyncio.timeout(10):
            assert "secret" not in "".join([line async for line in lines])


async def test_models_of_one_name_serve_beside_each_other(
    bench: Bench, http: httpx.AsyncClient, admin: str, their_key: dict[str, Any], tmp_path: Path
) -> None:
    callers = {"ours": admin, "theirs": their_key["key"]}
    for project in callers:
        package = await asyncio.to_thread(write_package, tmp_path / project, (f"good-{project}", "bad"))
        model = await bench.store.put(package, kind="model")
        key = SigningKey.read(SigningFolder.below(bench.platform.data_dir).key_file)
        signature = key.sign(version_statement(project, "同名", 1, model.digest))
        version = DeployedVersion(version=1, model=model, run_id="run-1", signature=signature)
        await Deployments(bench.bus).put(
            Deployment(project=project, name="同名", task="text-classification", versions=[version])
        )

    async def labels() -> dict[str, str] | None:
        found = {}
        for project, key in callers.items():
            answer = await http.post("/v1/models/同名:predict", json={"instances": ["好"]}, headers=bearer(key))
            if not answer.is_success:
                return None
            found[project] = answer.json()["predictions"][0]["label"]
        return found

    assert await eventually(labels, "both to serve") == {"ours": "good-ours", "theirs": "good-theirs"}
    await Deployments(bench.bus).remove("theirs", "同名")

    async def gone() -> bool:
        body = {"instances": ["好"]}
        return (
            await http.post("/v1/models/同名:predict", json=body, headers=bearer(callers["theirs"]))
        ).status_code == 404

    await eventually(gone, "theirs to be gone")
    ours = await http.post("/v1/models/同名:predict", json={"instances": ["好"]}, headers=bearer(admin))
    assert ours.json()["predictions"][0]["label"] == "good-ours"


async def test_what_is_of_all_projects_is_the_platforms(http: httpx.AsyncClient, admin: str) -> None:
    for operation in (one for one in GUARDED if one.of_platform):
        refused = await ask(http, operation, operation.path, admin)
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:tidemill:problem:one-project")
        assert (await ask(http, operation, operation.path, OPERATOR)).status_code == 200


async def test_the_operator_names_the_project(bench: Bench, http: httpx.AsyncClient) -> None:
    for things in (bench.mine, bench.theirs):
        found = await http.get("/v1/models", headers=bearer(OPERATOR, things.project))
        assert [one["name"] for one in found.json()] == [things.model]
    assert (await http.get("/v1/models", headers=bearer(OPERATOR))).json() == []
    assert (await http.get("/v1/models", headers=bearer(OPERATOR, "%E9%A1%B9%E7%9B%AE"))).json() == []
    for wrong in ("../theirs", "a b", "", "%ff", "a%0d%0ab"):
        answer = await http.get("/v1/models", headers=bearer(OPERATOR, wrong))
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:tidemill:problem:invalid-project")


@pytest.mark.parametrize("scope", get_args(Scope))
async def test_every_operation_asks_for_its_scopes(bench: Bench, http: httpx.AsyncClient, scope: Scope) -> None:
    """Whoever has none of them gets a 403, whoever has one does not."""
    key = (await issue(http, "ours", scopes=[scope]))["key"]
    nobody = Things("ours", "run-of-nobody", "data-nobody", "model-nobody", "f" * 16)
    for operation in GUARDED:
        answer = await ask(http, operation, address(operation, nobody, "0" * 16), key)
        kind = answer.json().get("type") if answer.headers["content-type"].endswith("problem+json") else None
        allowed = scope == "admin" or scope in operation.scopes
        assert (kind != "urn:tidemill:problem:insufficient-scope") == allowed, f"{named(operation)}: {answer.text}"


async def test_health_alone_is_public(http: httpx.AsyncClient) -> None:
    assert {one.path for one in OPERATIONS if one.scopes == PUBLIC} == {
        "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready",
    }  # fmt: skip
    nobody = Things("ours", "run-of-nobody", "data-nobody", "model-nobody", "f" * 16)
    for operation in OPERATIONS:
        answer = await http.request(operation.method, address(operation, nobody, "0" * 16))
        assert (answer.status_code == 401) == bool(operation.scopes), named(operation)


def test_every_operation_says_its_scopes_in_the_document() -> None:
    from services.inference.openapi import document

    described = document()
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation["security"] is not None, f"{method} {path}"
    predict = described["paths"]["/v1/models/{name}:predict"]["post"]
    assert predict["security"] == [{"bearer": ["predict"]}]
    assert {"401", "403", "429"} <= set(predict["responses"])
    assert described["paths"]["/healthz"]["get"]["security"] == []
    assert json.dumps(described)
