"""Functions of the operator's own, named in a recipe as ``module:function`` and called on lists of texts.

A recipe is data and must not say what code runs: a name is looked up only when the operator has allowed it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from dataclasses import dataclass

from tidemill.errors import InvalidInput, TidemillError
from tidemill.texts import normalize

SETTING = "TIDEMILL_PREPROCESS_ALLOWED_HOOKS"


@dataclass(frozen=True)
class TextHook:
    """A function from texts to as many texts, and the name it goes by."""

    name: str
    function: Callable[[list[str]], list[str]]
    normalised: bool = False
    """Whether what it gives is normalised, as the texts of the dataset are."""

    def __call__(self, texts: list[str]) -> list[str]:
        """The function's texts. Raises InvalidInput naming the hook when it fails or gives anything else."""
        if not texts:
            return []
        try:
            found = list(self.function(list(texts)))
        except TidemillError:
            raise
        except Exception as error:
            raise InvalidInput(f"the hook {self.name} failed: {type(error).__name__}: {error}") from error
        if len(found) != len(texts) or not all(isinstance(text, str) for text in found):
            raise InvalidInput(
                f"the hook {self.name} got {len(texts):,} texts and gave {len(found):,} values; it has to give one "
                "text for each, in their order"
            )
        return [normalize(text) for text in found] if self.normalised else found


def find_hook(name: str, allowed: Collection[str], *, normalised: bool = False) -> TextHook:
    """The function ``module:function``; ``allowed`` holds modules and ``module:function`` names.

    Raises:
        InvalidInput: the operator has not allowed it, or there is no such function.
    """
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise InvalidInput(f"the hook {name!r} has to be named as module:function")
    if module not in allowed and name not in allowed:
        raise InvalidInput(
            f"the hook {name} is not allowed here; the operator of the preprocess service allows it with "
            f"{SETTING}={name}"
        )
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InvalidInput(f"the hook {name} cannot be found: {error}; install it beside the service") from None
    if not callable(found):
        raise InvalidInput(f"the hook {name} is no function")
    return TextHook(name, found, normalised)
