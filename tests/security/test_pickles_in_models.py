"""Pickles planted where models come from: base folders, checkpoints, packages. None is loaded."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from services.compressor.original import Network
from services.trainer import pretrained
from tests.security.canary import Canary
from tests.trainer.test_training import _spec, _train
from tidemill.errors import CorruptArtifact, HandedBack, InvalidInput
from tidemill.modelpack import ModelPackage
from tidemill.tasks.text_classification.training import load_model, load_tokenizer, new_model, new_tokenizer

EVIL_MODULE = "import os\nos.mkdir({cage!r})\n"


def torch_pickle(canary: Canary) -> bytes:
    import io

    out = io.BytesIO()
    torch.save({"weight": canary, "state": {}, "param_groups": []}, out)
    return out.getvalue()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder as `save_pretrained` leaves it."""
    from tidemill.contracts.recipe import FromScratch

    folder = tmp_path_factory.mktemp("base")
    tokenizer = new_tokenizer(["rain", "card", "storm"], 100, 16)
    new_model(FromScratch(layers=1, hidden_size=8, heads=2), tokenizer, ["a", "b"], 16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def planted(base: Path, canary: Canary, tmp_path: Path) -> Path:
    """The same with pickles and code of its own beside the weights, and a config that asks for that code."""
    folder = tmp_path / "base"
    shutil.copytree(base, folder)
    for name in ("pytorch_model.bin", "model.pt", "training_args.bin", "optimizer.pt", "tokenizer.pkl"):
        (folder / name).write_bytes(torch_pickle(canary))
    (folder / "modeling_evil.py").write_text(EVIL_MODULE.format(cage=str(tmp_path / "cage")))
    for name in ("config.json", "tokenizer_config.json"):
        document = json.loads((folder / name).read_text())
        document["auto_map"] = {
            "AutoConfig": "modeling_evil.Config", "AutoModelForSequenceClassification": "modeling_evil.Model",
            "AutoTokenizer": ["modeling_evil.Tokenizer", "modeling_evil.Tokenizer"],
        }  # fmt: skip
        (folder / name).write_text(json.dumps(document))
    return folder


def test_a_base_folder_s_pickles_and_code_are_passed_over(planted: Path) -> None:
    assert pretrained.local_folder(str(planted)) == planted
    assert load_model(planted, ["a", "b"]).config.num_labels == 2
    assert load_tokenizer(planted).pad_token == "[PAD]"


def test_a_base_folder_with_pickled_weights_alone_is_refused(planted: Path) -> None:
    (planted / "model.safetensors").unlink()
    with pytest.raises(InvalidInput, match=r"holds no \.safetensors weights; other formats can carry code"):
        pretrained.local_folder(str(planted))
    with pytest.raises(InvalidInput, match="cannot be loaded"):
        load_model(planted, ["a", "b"])


def test_an_index_that_names_pickles_as_shards_loads_none(planted: Path) -> None:
    (planted / "model.safetensors").rename(planted / "elsewhere.safetensors")
    index = {"metadata": {}, "weight_map": {"bert.embeddings.word_embeddings.weight": "pytorch_model.bin"}}
    (planted / "model.safetensors.index.json").write_text(json.dumps(index))
    with contextlib.suppress(Exception):
        load_model(planted, ["a", "b"])


def test_a_pickle_under_the_name_of_safetensors_is_none(planted: Path, canary: Canary) -> None:
    (planted / "model.safetensors").write_bytes(torch_pickle(canary))
    with pytest.raises(InvalidInput, match="cannot be loaded as a text classifier"):
        load_model(planted, ["a", "b"])
    with pytest.raises(CorruptArtifact, match="cannot be loaded"):
        Network(planted)


def test_the_compressor_loads_neither(planted: Path) -> None:
    assert Network(planted).module is not None


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"])
def test_a_checkpoint_that_somebody_changed_is_not_unpickled(
    dataset: Path, prepared: Any, tmp_path: Path, recorder: Any, canary: Canary, name: str
) -> None:
    spec = _spec(prepared())
    first = recorder(keep=tmp_path / "kept", stop_at=0.1)
    with pytest.raises(HandedBack):
        _train(spec, dataset, tmp_path / "first", first)
    (checkpoint,) = first.checkpoints
    (checkpoint / name).write_bytes(torch_pickle(canary))
    with contextlib.suppress(Exception):
        _train(spec, dataset, tmp_path / "second", recorder(), checkpoint)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "vectorizer.pkl", "model.joblib", "weights.pt", "x.npy"])
def test_a_package_with_a_pickle_is_refused(tmp_path: Path, canary: Canary, name: str) -> None:
    from tests.inference.conftest import write_package

    directory = write_package(tmp_path / "package")
    (directory / name).write_bytes(canary.pickled())
    with pytest.raises((InvalidInput, CorruptArtifact)):
        ModelPackage.open(directory).verify()
