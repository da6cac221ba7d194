"""No call in the product loads a pickle that came with data. Ruff's S301 family says so too; this knows more calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ALLOWED = {
    "libs/tidemill/jobs/messages.py": 1,
    "libs/tidemill/jobs/child.py": 1,
    "libs/tidemill/jobs/attempt.py": 1,
    "libs/tidemill/jobs/forks.py": 1,
    "libs/tidemill/recipe_text.py": 1,
}
"""A job's parent and child talk over a socket pair that nobody else has: see ``jobs/messages.py``; so do a job and
its pieces over a pipe. The loader of the last one is a ``yaml.SafeLoader`` without aliases."""

LOADERS = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "cPickle.loads", "dill.load", "dill.loads", "cloudpickle.load",
    "cloudpickle.loads", "marshal.load", "marshal.loads", "shelve.open", "joblib.load", "jsonpickle.decode",
    "pandas.read_pickle", "pd.read_pickle", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "eval", "exec",
    "torch.hub.load", "torch.jit.load",
}  # fmt: skip


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def keyword(call: ast.Call, name: str) -> object:
    return next(
        (one.value.value for one in call.keywords if one.arg == name and isinstance(one.value, ast.Constant)), None
    )


def dangerous(source: str) -> Iterator[tuple[int, str]]:
    """Lines and calls that could load a pickle, or code."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        unsafe = (
            name in LOADERS
            or (name == "torch.load" and keyword(node, "weights_only") is not True)
            or (name.endswith(".load") and keyword(node, "allow_pickle") not in (None, False))
            or (name.endswith(".from_pretrained") and not _safe_pretrained(name, node))
        )
        if unsafe:
            yield node.lineno, name


def _safe_pretrained(name: str, call: ast.Call) -> bool:
    if keyword(call, "trust_remote_code") is not False or keyword(call, "local_files_only") is not True:
        return False
    return "Model" not in name or keyword(call, "use_safetensors") is True


def product() -> list[Path]:
    return sorted([*(ROOT / "libs").rglob("*.py"), *(ROOT / "services").rglob("*.py")])


def test_no_product_module_loads_a_pickle() -> None:
    assert len(product()) > 400
    found = {
        path.relative_to(ROOT).as_posix(): calls
        for path in product()
        if (calls := list(dangerous(path.read_text(encoding="utf-8"))))
    }
    assert {name: len(calls) for name, calls in found.items()} == ALLOWED, found


@pytest.mark.parametrize(
    "line",
    [
        "pickle.loads(data)", "torch.load(path)", "torch.load(path, weights_only=False)", "joblib.load(p)",
        "np.load(p, allow_pickle=True)", "yaml.load(text)", "AutoModel.from_pretrained(folder)",
        "AutoModel.from_pretrained(f, local_files_only=True, trust_remote_code=False)",
        "AutoTokenizer.from_pretrained(f, local_files_only=True, trust_remote_code=True)", "eval(text)",
    ],
)  # fmt: skip
def test_what_would_load_one_is_found(line: str) -> None:
    assert list(dangerous(line))


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path, weights_only=True)", "np.load(p)", "yaml.safe_load(text)", "json.loads(text)",
        "AutoModel.from_pretrained(f, local_files_only=True, trust_remote_code=False, use_safetensors=True)",
    ],
)  # fmt: skip
def test_what_loads_none_is_let_through(line: str) -> None:
    assert not list(dangerous(line))
