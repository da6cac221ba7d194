"""Reads a model package and checks it against its manifest. Loads no weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tidemill.errors import CorruptArtifact, NotFound
from tidemill.modelpack import manifest as manifests
from tidemill.modelpack.manifest import Manifest
from tidemill.modelpack.schema import Lineage, Metrics, Signature, Variant


@dataclass(frozen=True)
class ModelPackage:
    """A model package on local disk. ``variants`` holds the variants whose files are all here, by name."""

    directory: Path
    signature: Signature
    metrics: Metrics
    lineage: Lineage
    variants: Mapping[str, Variant]
    manifest: Manifest
    partial: bool

    @classmethod
    def open(cls, directory: Path) -> ModelPackage:
        """Read a whole package. Looks at names and sizes; ``verify`` looks at the bytes.

        Raises:
            CorruptArtifact: a file is missing, cut off, or not what it should be; names the file.
            PermanentError: the package's format is not one that this version reads.
            InvalidInput: it holds a file that could carry pickled code.
        """
        return cls._read(directory, partial=False)

    @classmethod
    def open_partial(cls, directory: Path) -> ModelPackage:
        """Read a package of which some variants were fetched; all files outside ``variants/`` must be here.

        Raises: as ``open``.
        """
        return cls._read(directory, partial=True)

    @classmethod
    def _read(cls, directory: Path, *, partial: bool) -> ModelPackage:
        manifest = manifests.read(directory)
        here: dict[str, bool] = {}
        for name, entry in manifest.files.items():
            variant = _variant_of(name)
            path = directory / name
            if path.is_file():
                if path.stat().st_size != entry.size_bytes:
                    raise CorruptArtifact(
                        f"model package {directory.name}: {name} has {path.stat().st_size} bytes, "
                        f"the manifest says {entry.size_bytes}; fetch it again"
                    )
            elif not partial or variant is None:
                raise CorruptArtifact(f"model package {directory.name}: {name} is missing; fetch it again")
            if variant is not None:
                here[variant] = here.get(variant, True) and path.is_file()
        signature = manifests.read_document(directory, "signature.json", Signature)
        variants = {name: _read_variant(directory, name) for name in sorted(here) if here[name]}
        if signature.serving_variant not in here:
            raise CorruptArtifact(
                f"model package {directory.name}: signature.json names the serving variant "
                f"{signature.serving_variant!r}, which the package does not have"
            )
        return cls(
            directory=directory,
            signature=signature,
            metrics=manifests.read_document(directory, "metrics.json", Metrics),
            lineage=manifests.read_document(directory, "lineage.json", Lineage),
            variants=variants,
            manifest=manifest,
            partial=partial,
        )

    def variant_dir(self, name: str) -> Path:
        """Directory of one variant.

        Raises:
            NotFound: no such variant is here; names those that are.
        """
        if name not in self.variants:
            raise NotFound(f"the model has no variant {name!r} here; it has {', '.join(self.variants) or 'none'}")
        return self.directory / "variants" / name

    def entry(self, name: str) -> Path:
        """The file of variant ``name`` that a runtime opens.

        Raises:
            NotFound: no such variant is here.
        """
        return self.variant_dir(name) / self.variants[name].entry

    @property
    def tokenizer_dir(self) -> Path:
        """``tokenizer/``: ``tokenizer.json`` and what transformers needs beside it."""
        return self.directory / "tokenizer"

    def verify(self, only: Sequence[str] | None = None) -> None:
        """Compare the bytes with the manifest.

        ``only`` limits it to files whose path equals one of the given or lies below one ending in ``/``. A
        package opened with ``open_partial`` is verified as far as it is here.

        Raises:
            CorruptArtifact: a file's bytes are not the written ones, or it is not in the manifest; names it.
        """
        for name, entry in self.manifest.files.items():
            path = self.directory / name
            if not _selected(name, only) or (self.partial and not path.is_file() and _variant_of(name)):
                continue
            actual = manifests.file_digest(path) if path.is_file() else "missing"
            if actual != entry.sha256:
                raise CorruptArtifact(
                    f"model package {self.directory.name}: {name} is {actual}, "
                    f"the manifest says {entry.sha256}; fetch it again"
                )
        for name in manifests.list_files(self.directory):
            if _selected(name, only) and name not in self.manifest.files:
                raise CorruptArtifact(f"model package {self.directory.name}: {name} is not in its manifest")


def _read_variant(directory: Path, name: str) -> Variant:
    where = f"variants/{name}/variant.json"
    variant = manifests.read_document(directory, where, Variant)
    if variant.name != name:
        raise CorruptArtifact(f"model package {directory.name}: {where} calls itself {variant.name!r}")
    entry = PurePosixPath(variant.entry)
    inside = not entry.is_absolute() and ".." not in entry.parts
    if not inside or not (directory / "variants" / name / entry).is_file():
        raise CorruptArtifact(f"model package {directory.name}: {where} names {variant.entry!r}, which is not in it")
    return variant


def _variant_of(name: str) -> str | None:
    parts = PurePosixPath(name).parts
    return parts[1] if len(parts) > 2 and parts[0] == "variants" else None


def _selected(name: str, only: Sequence[str] | None) -> bool:
    return only is None or any(name == wanted or (wanted.endswith("/") and name.startswith(wanted)) for wanted in only)
