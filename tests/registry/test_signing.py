"""Versions are signed when they are registered; what nobody trusted has signed is signed only when somebody asks."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

from services.registry import chain as decided
from services.registry.signing import Signer
from tests.registry.conftest import Bench, eventually, parts
from tidemill.contracts import ModelCompressed, PackageSignature, RunFinished, SignVersions
from tidemill.contracts.queries import ListDeadLetters, ShowModel
from tidemill.records.hash_chain import FIRST, digest_of
from tidemill.records.schema import AliasMoved, VersionRegistered, VersionSigned
from tidemill.signing import SigningFolder, SigningKey


async def test_a_version_is_signed_when_it_is_registered_and_deployed_with_its_signature(bench: Bench) -> None:
    await bench.finished("评论")
    deployment = await bench.deployments.get("default", "评论")
    assert deployment is not None
    (deployed,) = deployment.versions
    folder = SigningFolder.below(bench.platform.data_dir)
    folder.trusted.verify("default", "评论", 1, deployed.model.digest, deployed.signature)
    view = await bench.bus.ask(ShowModel(name="评论"))
    assert view["versions"][0]["signed_by"] == SigningKey.read(folder.key_file).public.id


async def test_the_next_version_is_signed_with_the_new_key_after_a_rotation(bench: Bench) -> None:
    folder = SigningFolder.below(bench.platform.data_dir)
    old = SigningKey.read(folder.key_file).public.id
    await bench.finished("rotated", macro_f1=0.8)
    new = folder.rotate().public.id
    await bench.finished("rotated", macro_f1=0.9)
    view = await bench.bus.ask(ShowModel(name="rotated"))
    assert [one["signed_by"] for one in view["versions"]] == [new, old]
    chain = await bench.records.decisions("default")
    signer = Signer(folder)
    assert all(signer.is_trusted("default", one, one.signature) for one in decided.versions(chain, "rotated"))


async def test_what_was_registered_before_signatures_is_signed_when_somebody_asks(quiet_bench: Bench) -> None:
    bench = quiet_bench
    async with parts(bench) as here:
        unsigned = await _registered_without_signature(bench, "old", project="archive")
        await here.projection.decisions("archive")
        command = SignVersions(project="archive", actor="operator")
        await here.commands.carry_out(command, "c1")
        await here.commands.carry_out(command, "c1")  # delivered twice
        chain = await bench.records.decisions("archive")
        signed = [record.decision for record in chain if isinstance(record.decision, VersionSigned)]
        assert [(one.name, one.version, one.command) for one in signed] == [("old", 1, "c1")]
        SigningFolder.below(bench.platform.data_dir).trusted.verify(
            "archive", "old", 1, unsigned.event.model.digest, decided.signature(chain, unsigned)
        )
        deployment = await bench.deployments.get("archive", "old")
        assert deployment is not None
        assert deployment.versions[0].signature == signed[0].signature
        (entry,) = await bench.records.audit.newest("archive", limit=9)
        said = (entry.entry.actor, entry.entry.action, entry.entry.outcome, entry.entry.subject)
        assert said == ("operator", "sign-versions", "done", "project:archive")
        assert f"signed with key {signed[0].signature.key_id}: old 1" in entry.entry.reason
        await here.commands.carry_out(command, "c2")
        assert len(await bench.records.decisions("archive")) == len(chain), "nothing is left to sign"


async def test_a_forged_signature_is_replaced_and_a_revoked_version_is_not_signed(quiet_bench: Bench) -> None:
    from tidemill.contracts import RevokeVersion

    bench = quiet_bench
    stranger = SigningKey.new().sign(b"anything")
    async with parts(bench) as here:
        for name in ("forged", "bad"):
            await _registered_without_signature(bench, name, project="forgery", signature=stranger)
        await here.commands.carry_out(RevokeVersion(project="forgery", name="bad", version=1, reason="poisoned"), "r")
        await here.commands.carry_out(SignVersions(project="forgery", name="forged", version=1), "s1")
        await here.commands.carry_out(SignVersions(project="forgery"), "s2")
        chain = await bench.records.decisions("forgery")
        signed = [record.decision.name for record in chain if isinstance(record.decision, VersionSigned)]
        assert signed == ["forged"]


async def test_a_model_that_is_not_there_cannot_be_signed(bench: Bench) -> None:
    await bench.bus.command(SignVersions(name="nowhere", actor="key:abc"))

    async def letter() -> Any:
        letters = await bench.bus.ask(ListDeadLetters())
        return next((one for one in letters if "'nowhere'" in one["error"]), None)

    await eventually(letter)
    (entry,) = [
        one.entry for one in await bench.records.audit.newest("default", limit=50) if one.entry.actor == "key:abc"
    ]
    assert (entry.action, entry.subject, entry.outcome) == ("sign-versions", "model:nowhere", "refused")


async def test_a_key_that_is_lost_in_mid_run_makes_the_version_wait(bench: Bench) -> None:
    folder = SigningFolder.below(bench.platform.data_dir)
    away = folder.key_file.with_name("away")
    folder.key_file.rename(away)
    run_id = await bench.publish("waits")
    await bench.work(run_id, "waits")

    async def reached() -> bool:
        status = await bench.states.get("default", run_id)
        return status is not None and "register" in status.reached

    await eventually(reached)
    assert await bench.records.outcomes("default", run_id) == []
    away.rename(folder.key_file)
    assert (await bench.log.wait_for(RunFinished, run_id)).version == 1


async def test_a_registry_without_a_key_does_not_start(quiet_bench: Bench) -> None:
    environment = os.environ | {
        "TIDEMILL_DATA_DIR": str(quiet_bench.folder / "keyless"), "TIDEMILL_STORE_URL": quiet_bench.platform.store_url,
    }  # fmt: skip
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "services.registry"], env=environment, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "keyless/signing/key.pem cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


async def _registered_without_signature(
    bench: Bench, name: str, *, project: str, signature: PackageSignature | None = None
) -> VersionRegistered:
    """A champion as a version of Tidemill without signatures left it on record, byte for byte but for ``signature``."""
    from tests.registry.conftest import stage_events

    events = stage_events(f"run-{name}", name, await bench.recipe(None), 0.9, f"model-{name}")
    event = events[-1][1].model_copy(update={"project": project})
    assert isinstance(event, ModelCompressed)
    registered = VersionRegistered(name=name, version=1, run_id=event.run_id, event=event, signature=signature)
    moved = AliasMoved(name=name, alias="champion", version=1, previous=None, reason="first")
    if signature is not None:
        await bench.records.append_decision(project, lambda _: registered)
    else:
        document = registered.model_dump(mode="json", exclude={"signature"})
        at = "2026-11-01T08:00:00Z"
        link = {
            "sequence": 1, "previous": FIRST, "decision": document, "at": at,
            "digest": digest_of("decision", FIRST, document, at),
        }  # fmt: skip
        key = f"records/{project}/decisions/000000000001.json"
        assert await bench.store.objects.create(key, json.dumps(link).encode())  # type: ignore[attr-defined]
    await bench.records.append_decision(project, lambda _: moved)
    return registered
