"""The command's tree. What a command needs is imported when it runs, so that ``--help`` is quick."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tidemill.cli import (
    audit,
    backup,
    certs,
    dataset_versions,  # noqa: F401 - adds its commands to those of datasets
    datasets,
    dead,
    deploy,
    doctor,
    erasing,
    garbage,
    keys,
    local,
    models,
    nats,
    publishing,
    recipes,
    registry,
    runs,
    samples,
    signing,
    store,
    tracing,
)
from tidemill.cli.screen import DataDirOption

app = typer.Typer(
    help="Publish a dataset event, get a served model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"tidemill {version('tidemill')}")
        raise typer.Exit


@app.callback()
def options(
    data_dir: DataDirOption = None,
    project: Annotated[
        str | None,
        typer.Option(
            "--project",
            help="Project that is meant, for callers who are bound to none; else TIDEMILL_PROJECT.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Publish a dataset event, get a served model."""
    if data_dir is not None:
        os.environ["TIDEMILL_DATA_DIR"] = str(Path(data_dir).expanduser().absolute())
    if project is not None:
        os.environ["TIDEMILL_PROJECT"] = project


app.command("up", rich_help_panel="This machine's platform")(local.up)
app.command("down", rich_help_panel="This machine's platform")(local.down)
app.command("status", rich_help_panel="This machine's platform")(local.status)
app.command("env", rich_help_panel="This machine's platform")(local.env)
app.command("backup", rich_help_panel="This machine's platform")(backup.backup)
app.command("restore", rich_help_panel="This machine's platform")(backup.restore)
app.command("publish", rich_help_panel="Datasets to models")(publishing.publish)
app.command("predict", rich_help_panel="Datasets to models")(models.predict)
app.add_typer(runs.commands, name="runs", rich_help_panel="Datasets to models")
app.add_typer(datasets.commands, name="datasets", rich_help_panel="Datasets to models")
app.add_typer(models.commands, name="models", rich_help_panel="Datasets to models")
app.add_typer(recipes.commands, name="recipe", rich_help_panel="Datasets to models")
app.add_typer(samples.commands, name="sample", rich_help_panel="Datasets to models")
app.command("doctor", rich_help_panel="Looking closer")(doctor.doctor)
app.command("trace", rich_help_panel="Looking closer")(tracing.trace)
app.add_typer(keys.commands, name="keys", rich_help_panel="Who gets in")
app.add_typer(dead.commands, name="dead", rich_help_panel="Looking closer")
app.add_typer(store.commands, name="store", rich_help_panel="Looking closer")
app.add_typer(nats.commands, name="nats", rich_help_panel="Looking closer")
app.command("certs", rich_help_panel="Looking closer")(certs.certs)
app.command("erase", rich_help_panel="Looking closer")(erasing.erase)
app.command("gc", rich_help_panel="Looking closer")(garbage.gc)
app.add_typer(registry.commands, name="registry", rich_help_panel="Looking closer")
app.add_typer(audit.commands, name="audit", rich_help_panel="Looking closer")
app.add_typer(signing.commands, name="signing", rich_help_panel="Looking closer")
app.add_typer(deploy.commands, name="deploy", rich_help_panel="Deploying")
