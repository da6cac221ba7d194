"""A revoked version is out of service at once and for good; its aliases fall back, and everybody is told why."""

from __future__ import annotations

from typing import Any

import pytest

from services.registry import chain as decided
from services.registry.rebuild import rebuild
from tests.registry.conftest import Bench, eventually, parts
from tidemill.contracts import ModelPromoted, PromoteVersion, RevokeVersion
from tidemill.contracts.queries import ListDeadLetters, ListModels, ShowModel
from tidemill.errors import InvalidInput, NotFound
from tidemill.records.schema import VersionRevoked


async def test_the_champion_falls_back_to_the_last_good_version(bench: Bench) -> None:
    first = await bench.finished("模型", macro_f1=0.80)
    await bench.finished("模型", macro_f1=0.85)
    await bench.finished("模型", macro_f1=0.95)
    await _revoke(bench, "模型", 2, "trained on somebody's mail")
    assert await _serves(bench, "模型") == 3
    await _revoke(bench, "模型", 3, "answers 错了")
    assert await _serves(bench, "模型") == 1, "version 2 was champion in between, and is not good"
    promoted = await bench.log.wait_for(ModelPromoted, first.run_id, where=lambda event: event.previous == 3)
    assert (promoted.version, promoted.reason) == (1, "version 3 of model '模型' was revoked: answers 错了")
    view = await bench.bus.ask(ShowModel(name="模型"))
    assert view["aliases"] == {"champion": 1}
    assert [one["revoked_because"] for one in view["versions"]] == ["answers 错了", "trained on somebody's mail", None]


async def test_without_another_good_version_nothing_serves(bench: Bench) -> None:
    await bench.finished("alone")
    await bench.bus.command(PromoteVersion(name="alone", version=1, alias="challenger"))
    await eventually(lambda: _aliases(bench, "alone", {"champion": 1, "challenger": 1}))
    await _revoke(bench, "alone", 1, "bad")
    await eventually(lambda: _aliases(bench, "alone", {}))
    assert await bench.deployments.get("default", "alone") is None
    row = next(one for one in await bench.bus.ask(ListModels()) if one["name"] == "alone")
    assert row["champion"] is None
    later = await bench.finished("alone", model="another", macro_f1=0.7)
    assert (later.version, later.promoted) == (2, True)
    assert await _serves(bench, "alone") == 2


async def test_the_same_package_is_refused_whatever_run_brings_it_again(bench: Bench) -> None:
    await bench.finished("again", model="poisoned")
    await _revoke(bench, "again", 1, "poisoned")
    once_more = await bench.finished("again", model="poisoned")
    assert (once_more.version, once_more.promoted) == (1, False)
    assert once_more.reason == "version 1 of model 'again' was revoked: poisoned"
    assert await bench.deployments.get("default", "again") is None


async def test_a_revoked_version_cannot_be_promoted_and_is_not_revoked_twice(quiet_bench: Bench, bench: Bench) -> None:
    await bench.finished("twice", macro_f1=0.8)
    await bench.finished("twice", macro_f1=0.9)
    async with parts(quiet_bench) as here:
        command = RevokeVersion(name="twice", version=2, reason="bad")
        await here.commands.carry_out(command, "delivery")
        await here.commands.carry_out(command, "delivery")
        chain = await bench.records.decisions("default")
        revoked = [one.decision for one in chain if isinstance(one.decision, VersionRevoked)]
        assert [one.aliases for one in revoked if one.name == "twice"] == [{"champion": 1}]
        with pytest.raises(InvalidInput, match="version 2 of model 'twice' was revoked: bad"):
            await here.commands.carry_out(command, "another")
        with pytest.raises(InvalidInput, match="was revoked: bad; promote another version"):
            await here.commands.carry_out(PromoteVersion(name="twice", version=2), "promotion")
        with pytest.raises(NotFound, match="no version 7"):
            await here.commands.carry_out(RevokeVersion(name="twice", version=7, reason="bad"), "wrong")
    entries = [one.entry for one in await bench.records.audit.newest("default", limit=9)]
    said = [(one.action, one.outcome) for one in entries if one.subject.startswith("model:twice")]
    assert said == [
        ("revoke-version", "refused"), ("promote-version", "refused"), ("revoke-version", "refused"),
        ("revoke-version", "done"),
    ]  # fmt: skip
    assert entries[3].reason == "bad; champion is version 1 again"


async def test_a_rebuilt_database_knows_it_too(bench: Bench) -> None:
    await bench.finished("rebuilt", macro_f1=0.8)
    await bench.finished("rebuilt", macro_f1=0.9)
    await _revoke(bench, "rebuilt", 2, "bad")
    before = await bench.bus.ask(ShowModel(name="rebuilt"))
    address = bench.databases.address("rebuilt")
    await rebuild(bench.platform, address)
    from services.registry.database import Database
    from services.registry.repositories import Models

    database = Database(address)
    async with database.reading() as session:
        models = Models(session)
        versions = await models.versions("default", "rebuilt")
        aliases = {one.alias: one.version for one in await models.aliases("default", "rebuilt")}
    await database.close()
    assert aliases == before["aliases"] == {"champion": 1}
    shown = [(one["version"], one["signed_by"], one["revoked_because"]) for one in before["versions"]]
    assert [(one.version, one.signed_by, one.revoked_because) for one in versions] == shown
    newest = (await bench.records.audit.newest("default", limit=1))[0].entry
    assert (newest.actor, newest.action) == ("local", "rebuild-registry")


async def _revoke(bench: Bench, name: str, version: int, reason: str) -> None:
    await bench.bus.command(RevokeVersion(name=name, version=version, reason=reason))

    async def revoked() -> bool:
        return decided.revocation(await bench.records.decisions("default"), name, version) is not None

    async def shown() -> bool:
        view = await bench.bus.ask(ShowModel(name=name))
        return any(one["version"] == version and one["revoked_at"] for one in view["versions"])

    await eventually(revoked)
    await eventually(shown)


async def _serves(bench: Bench, name: str) -> int:
    deployment = await bench.deployments.get("default", name)
    assert deployment is not None
    return deployment.versions[0].version


async def _aliases(bench: Bench, name: str, aliases: dict[str, int]) -> Any:
    return (await bench.bus.ask(ShowModel(name=name)))["aliases"] == aliases


async def test_the_command_needs_a_reason(bench: Bench) -> None:
    body = b'{"command": "revoke-version", "name": "x", "version": 1, "reason": ""}'
    await bench.bus.publish_durably("JOBS", "tidemill.job.register.cpu.default", body, {})

    async def letter() -> Any:
        letters = await bench.bus.ask(ListDeadLetters())
        return next((one for one in letters if one["error"].startswith("not a command: revoke-version.reason")), None)

    await eventually(letter)
