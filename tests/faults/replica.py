"""``python -m tests.faults.replica SERVICE``: one replica of a service, as its own ``create_app`` builds it.

What the suite changes it changes here, around the service: how jobs behave (``behaviour``), what training and
compression cost (``--work quick``), and which version this replica is (``--version 2``: another stage revision, and
events with a field that version 1 does not know).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

STAGE_SERVICES = ("ingest", "preprocess", "trainer", "compressor")
NEW_REVISION = 1002


def main() -> int:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("service")
    parser.add_argument("--version", type=int, default=1)
    parser.add_argument("--work", choices=("real", "quick"), default="real")
    options = parser.parse_args()
    if options.service == "inference":
        from services.inference.__main__ import main as run_gateway

        return run_gateway()
    import tidemill.startup  # noqa: F401 - has to come first
    from tidemill.stage.application import run

    if options.version > 1:
        learn_new_field()
    create_app, settings = joined(options.service)
    if options.service in STAGE_SERVICES:
        module: Any = sys.modules[f"services.{options.service}.app"]
        module.create_stage_app = altering(module.create_stage_app, options.version, options.work)
    run(create_app, settings)
    return 0


def joined(service: str) -> tuple[Callable[[Any], Any], Any]:
    """The service's ``create_app`` and its settings from the environment."""
    match service:
        case "ingest":
            from services.ingest.app import create_app as ingest
            from services.ingest.settings import IngestSettings

            return ingest, IngestSettings()
        case "preprocess":
            from services.preprocess.app import create_app as preprocess
            from services.preprocess.settings import PreprocessSettings

            return preprocess, PreprocessSettings()
        case "trainer":
            from services.trainer.app import create_app as trainer
            from services.trainer.settings import TrainerSettings

            return trainer, TrainerSettings()
        case "compressor":
            from services.compressor.app import create_app as compressor
            from services.compressor.settings import CompressorSettings

            return compressor, CompressorSettings()
        case _:
            from services.registry.app import create_app as registry
            from services.registry.settings import RegistrySettings

            return registry, RegistrySettings()


def altering(create: Callable[..., Any], version: int, work: str) -> Callable[..., Any]:
    """``create`` for the stage as this suite wants it."""

    def create_altered(stage: Any, settings: Any, **more: Any) -> Any:
        return create(altered(stage, settings, version, work), settings, **more)

    return create_altered


def altered(stage: Any, settings: Any, version: int, work: str) -> Any:
    """``stage`` whose jobs behave as their recipe says, of this version."""
    from tests.faults.behaviour import behave

    function, preload = stage.work, stage.preload
    if work == "quick" and stage.name in ("train", "compress"):
        from tests.faults import quick

        preload = ("tests.faults.quick",)
        function = (
            partial(quick.train, checkpoint_every=settings.checkpoint_every)
            if stage.name == "train"
            else partial(quick.compress, revision=stage.revision)
        )
    return replace(
        stage,
        work=partial(behave, stage=stage.name, work=function),
        preload=(*preload, "tests.faults.behaviour"),
        revision=NEW_REVISION if version > 1 else stage.revision,
    )


def learn_new_field() -> None:
    """Let every event of a stage carry ``made_by``, which version 1 has never heard of."""
    from tidemill import contracts
    from tidemill.contracts import events

    for name in ("DatasetIngested", "DatasetPrepared", "ModelTrained", "ModelCompressed"):
        known = getattr(events, name)
        newer = type(name, (known,), {"__annotations__": {"made_by": str | None}, "made_by": "version 2"})
        setattr(contracts, name, newer)
        setattr(events, name, newer)
        events.EVENTS[known.subject] = newer


if __name__ == "__main__":
    sys.exit(main())
