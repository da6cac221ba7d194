"""Recipes made to harm: they name what is on the services' machines, or take more than they weigh."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.ingest.media.parts import fits
from services.ingest.media.pattern import PathPattern
from services.preprocess.privacy.model import model_fingerprint
from services.trainer.pretrained import local_folder
from tests.access.conftest import OPERATOR, Bench, bearer, gateway
from tests.access.test_keys import issue
from tidemill.contracts import parse_recipe
from tidemill.contracts.machine_paths import on_a_machine
from tidemill.errors import InvalidInput

FOLDERS = ("/etc", "/srv/models/minilm", "./model", "../model", "~/model", "~root/model", "a/b/c", "C:\\models", "a\\b")
OF_A_MACHINE: list[dict[str, Any]] = [
    *({"model": {"base": folder}} for folder in FOLDERS),
    *({"privacy": {"model": folder, "detect": ["person"]}} for folder in FOLDERS),
    *({"privacy": {"key": key}} for key in ("file:/etc/passwd", "file:/run/tidemill/secrets/nats.nk", "env:HOME")),
]


@pytest.fixture(scope="module")
async def alone(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway of one machine, which asks nobody for a key."""
    async with gateway(bench.settings(tmp_path_factory.mktemp("alone"), api_key=None)) as client:
        yield client


@pytest.mark.parametrize("recipe", OF_A_MACHINE, ids=str)
async def test_folders_and_keys_of_a_machine_are_for_its_user_alone(
    http: httpx.AsyncClient, alone: httpx.AsyncClient, recipe: dict[str, Any]
) -> None:
    key = (await issue(http, "ours", scopes=["publish"]))["key"]
    document = {"name": "new", "uri": "https://example.org/new.csv", "recipe": recipe}
    file = {"file": ("a.csv", b"text,label\na,b\n")}
    for headers in (bearer(key), bearer(OPERATOR, "ours")):
        by_address = await http.post("/v1/datasets", json=document, headers=headers)
        assert (by_address.status_code, by_address.json()["type"]) == (400, "urn:tidemill:problem:invalid-recipe")
        uploaded = await http.post(
            "/v1/datasets", data={"name": "new", "recipe": parse_recipe(recipe).model_dump_json()}, files=file,
            headers=headers,
        )  # fmt: skip
        assert uploaded.json()["detail"] == by_address.json()["detail"]
        assert "over HTTP" in uploaded.json()["detail"]
    assert (await alone.post("/v1/datasets", json=document)).status_code == 202


@pytest.mark.parametrize("base", ["minilm", "owner/name", "bert-base-uncased"])
async def test_a_hub_id_and_a_key_of_ones_own_are_taken(http: httpx.AsyncClient, base: str) -> None:
    key = (await issue(http, "ours", scopes=["publish"]))["key"]
    privacy = {"key": "env:TIDEMILL_PRIVACY_SHOP", "model": base, "detect": ["person"]}
    recipe = {"model": {"base": base}, "privacy": privacy}
    document = {"name": "new", "uri": "https://example.org/new.csv", "recipe": recipe}
    answer = await http.post("/v1/datasets", json=document, headers=bearer(key))
    assert answer.status_code == 202, answer.text


def test_what_is_written_like_a_hub_id_is_no_folder_though_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    (tmp_path / "owner" / "name" / "config.json").write_text("{}")
    (tmp_path / "owner" / "name" / "model.safetensors").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert local_folder("owner/name") is None
    assert local_folder("./owner/name") == tmp_path / "owner" / "name"
    with pytest.raises(InvalidInput, match="no folder"):
        model_fingerprint("./owner/other")


def test_a_recipe_without_machines_is_let_through() -> None:
    assert on_a_machine(parse_recipe({})) is None
    assert on_a_machine(parse_recipe({"model": {"base": "/srv/model"}})) is not None


BOMBS = {
    "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]",
    "a mapping merged": "a: &a {x: 1}\nb: {<<: *a}",
    "an anchor of itself": "a: &a [*a]",
    "nested lists": "[" * 5000,
    "nested mappings": "a: {" * 3000,
    "a tag of Python": "a: !!python/object/apply:os.system ['touch /tmp/x']",
    "a number of digits": "training: {epochs: " + "9" * 5000 + "}",
    "sexagesimal": "a: " + "1:" * 400 + "1",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=list(BOMBS))
async def test_a_recipe_that_is_more_than_it_weighs_is_refused_in_words(http: httpx.AsyncClient, text: str) -> None:
    file = {"file": ("a.csv", b"text,label\na,b\n")}
    headers = bearer(OPERATOR, "ours")
    answer = await http.post("/v1/datasets", data={"name": "new", "recipe": text}, files=file, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:tidemill:problem:invalid-recipe")


def test_patterns_of_a_recipe_are_matched_in_their_length() -> None:
    """Neither kind is a regular expression that could go back and forth: these would take longer than a life."""
    assert PathPattern("{label}" + "a{_}" * 200 + "b").match("a" * 5000) is None
    assert not fits("a" * 2000 + "c", "*a" * 200 + "b")
