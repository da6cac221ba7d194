"""Writes a model package. The manifest comes last: a half-written package is never taken for a whole one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidemill.errors import InvalidInput
from tidemill.modelpack import manifest
from tidemill.modelpack.card import model_card
from tidemill.modelpack.package import ModelPackage
from tidemill.modelpack.schema import Lineage, Metrics, Precision, Signature, Variant, VariantFormat


class PackageWriter:
    """Fills an empty directory with a model package.

    ::

        writer = PackageWriter(output / "model")
        writer.tokenizer(folder)
        with writer.variant("onnx-fp32", format="onnx", precision="fp32", entry="model.onnx") as target:
            torch.onnx.export(model, …, target / "model.onnx")
        writer.signature(signature)
        writer.metrics(metrics)
        writer.lineage(lineage)
        package = writer.finish()
    """

    def __init__(self, directory: Path) -> None:
        """Start a package in ``directory``, which is made when absent.

        Raises:
            InvalidInput: it is not empty.
        """
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise InvalidInput(f"model package: {directory} is not empty; write into a new directory")
        self._directory = directory
        self._signature: Signature | None = None
        self._metrics: Metrics | None = None
        self._lineage: Lineage | None = None
        self._variants: dict[str, Variant] = {}

    def tokenizer(self, source: Path) -> None:
        """Copy every file of the folder ``source``, which holds ``tokenizer.json``, to ``tokenizer/``."""
        if not (source / "tokenizer.json").is_file():
            raise InvalidInput(f"model package: {source.name} holds no tokenizer.json; save a fast tokenizer there")
        _copy_tree(source, self._directory / "tokenizer")

    @contextmanager
    def variant(self, name: str, *, format: VariantFormat, precision: Precision, entry: str) -> Iterator[Path]:
        """Give the directory ``variants/<name>`` to fill; describes what is in it when the block ends.

        ``entry`` is the file that a runtime opens, relative to that directory. All files in it count towards
        the variant's size.

        Raises:
            InvalidInput: the name is taken, or ``entry`` is not there when the block ends.
        """
        if name in self._variants:
            raise InvalidInput(f"model package: there is a variant {name!r} already")
        target = self._directory / "variants" / name
        target.mkdir(parents=True)
        yield target
        if not (target / entry).is_file():
            raise InvalidInput(f"model package: variant {name!r} has no file {entry}")
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        self._describe(Variant(name=name, format=format, precision=precision, entry=entry, size_bytes=size))

    def copy_variant(self, source: ModelPackage, name: str) -> None:
        """Take over variant ``name`` of another package unchanged.

        Raises:
            NotFound: ``source`` has no such variant.
        """
        _copy_tree(source.variant_dir(name), self._directory / "variants" / name)
        self._describe(source.variants[name])

    def signature(self, signature: Signature) -> None:
        """Place ``signature.json``; a second call replaces the first, so the variant may be chosen late."""
        self._signature = signature
        manifest.write_document(self._directory / "signature.json", signature)

    def metrics(self, metrics: Metrics) -> None:
        """Place ``metrics.json``."""
        self._metrics = metrics
        manifest.write_document(self._directory / "metrics.json", metrics)

    def lineage(self, lineage: Lineage) -> None:
        """Place ``lineage.json``."""
        self._lineage = lineage
        manifest.write_document(self._directory / "lineage.json", lineage)

    def finish(self) -> ModelPackage:
        """Write the model card and the manifest; the package is complete then.

        Raises:
            InvalidInput: a part or the serving variant is missing, or a file may not be in a package.
        """
        if self._signature is None or self._metrics is None or self._lineage is None or not self._variants:
            placed = {
                "signature": self._signature,
                "metrics": self._metrics,
                "lineage": self._lineage,
                "variant": self._variants,
            }
            missing = ", ".join(name for name, part in placed.items() if not part)
            raise InvalidInput(f"model package: no {missing} was written")
        if self._signature.serving_variant not in self._variants:
            raise InvalidInput(
                f"model package: the serving variant {self._signature.serving_variant!r} is none of "
                f"{', '.join(sorted(self._variants))}"
            )
        tokenization = self._signature.tokenization
        if tokenization is not None and not (self._directory / tokenization.file).is_file():
            raise InvalidInput(f"model package: {tokenization.file} was not written, but the signature names it")
        card = model_card(self._signature, self._metrics, self._lineage, self._variants.values())
        (self._directory / "README.md").write_text(card, encoding="utf-8")
        manifest.write_document(self._directory / manifest.MANIFEST_FILE, manifest.build(self._directory))
        return ModelPackage.open(self._directory)

    def _describe(self, variant: Variant) -> None:
        self._variants[variant.name] = variant
        manifest.write_document(self._directory / "variants" / variant.name / "variant.json", variant)


def _copy_tree(source: Path, target: Path) -> None:
    # copyfile and not copytree's default: fetched artifacts are read-only, the copies must not be.
    shutil.copytree(source, target, copy_function=shutil.copyfile)
