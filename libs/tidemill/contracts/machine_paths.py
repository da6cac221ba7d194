"""What a recipe names on the machines of the services: folders of models, files and variables with keys.

Whoever may publish from afar must not: an answer tells whether a folder, a file or a variable is there, and a model of
somebody else's would be used.
"""

from __future__ import annotations

from tidemill.contracts.recipe import Recipe

OPEN_KEYS = "env:TIDEMILL_PRIVACY_"
"""Beginning of the variables that anybody's recipe may name as ``privacy.key``: others may hold another's secret."""


def is_folder(model: str) -> bool:
    """Whether ``model`` is written as a path. What has neither form is an alias or a hub id, whatever lies about."""
    return model.startswith(("/", ".", "~")) or model.count("/") > 1 or "\\" in model


def on_a_machine(recipe: Recipe) -> str | None:
    """What ``recipe`` names on a service's machine, in words that say what to do instead; None for nothing."""
    advice = "over HTTP a model is named by its hub id"
    if is_folder(recipe.model.base):
        return f"model.base is a folder of the trainer's machine; {advice}, or minilm"
    privacy = recipe.privacy
    if privacy.model is not None and is_folder(privacy.model):
        return f"privacy.model is a folder of the preprocess service's machine; {advice}"
    if privacy.key is not None and not privacy.key.startswith(OPEN_KEYS):
        return (
            f"privacy.key: over HTTP a key is named as {OPEN_KEYS}…; ask the operator to set such a variable "
            "for the preprocess service"
        )
    return None
