"""Helm's own engine, in a process of its own.

It is a Go runtime in a shared library, with signal handlers and threads of its own. A worker that had loaded other
native libraries (torch, Daft) ended without a word where its next tests were those of the chart, and the run hung where
they were to be repeated; never again in sixty runs that tried. So it shares a process with nothing. A call that ends
its process is made once more in a new one: none of them leaves anything half done that the second would meet.
"""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_TIMEOUT = 120.0
"""Seconds; a rendering takes hundredths of one."""


class HelmRefused(Exception):
    """Helm's own words for what it does not do."""


def render(chart: Path, values: dict[str, Any], options: dict[str, Any]) -> dict[str, str]:
    """The text of every template, by its path. Raises HelmRefused."""
    return _called(_render, chart, values, options)


def lint(chart: Path, values: dict[str, Any]) -> list[dict[str, Any]]:
    """What `helm lint` says."""
    return _called(_lint, chart, values)


def save(chart: Path, folder: Path) -> Path:
    """The chart alone as an archive in ``folder``."""
    return _called(_save, chart, folder)


def package(chart: Path, folder: Path) -> Path:
    """The chart and what it depends on as an archive in ``folder``."""
    return _called(_package, chart, folder)


def create(name: str, folder: Path) -> None:
    """A new chart in ``folder``, as `helm create` makes one."""
    _called(_create, name, folder)


def _called(function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    for _ in range(2):
        try:
            return _pool().submit(_refusing, function, *arguments, **named).result(_TIMEOUT)
        except BrokenProcessPool:
            _pool.cache_clear()
        except TimeoutError:
            _begin_anew()
        except KeyboardInterrupt:  # a hung process would be waited for when the interpreter ends
            _begin_anew()
            raise
    raise AssertionError(f"Helm's process died or hung twice over {function.__name__}{arguments}")


@functools.cache
def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def _begin_anew() -> None:
    for process in list((_pool()._processes or {}).values()):
        process.kill()
    _pool().shutdown(wait=False, cancel_futures=True)
    _pool.cache_clear()


def _refusing(function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    import helm_python

    try:
        return function(*arguments, **named)
    except helm_python.HelmError as error:  # of a library that no other process shall load
        raise HelmRefused(str(error)) from None


@functools.cache
def _loaded(chart: Path) -> Any:
    import helm_python

    return helm_python.Chart.load(chart)


def _render(chart: Path, values: dict[str, Any], options: dict[str, Any]) -> dict[str, str]:
    texts: dict[str, str] = _loaded(chart).render(values, **options)
    return texts


def _lint(chart: Path, values: dict[str, Any]) -> list[dict[str, Any]]:
    import helm_python

    messages: list[dict[str, Any]] = helm_python.lint(chart, values=values)["messages"]
    return messages


def _save(chart: Path, folder: Path) -> Path:
    return Path(_loaded(chart).save(folder))


def _package(chart: Path, folder: Path) -> Path:
    import helm_python

    return Path(helm_python.package(chart, destination=folder))


def _create(name: str, folder: Path) -> None:
    import helm_python

    helm_python.Chart.create(name, folder)
