"""The package a model travels in: write, verify, read. Knows files and digests, no framework and no store."""

from tidemill.modelpack.package import ModelPackage
from tidemill.modelpack.schema import (
    Lineage,
    Metrics,
    Precision,
    Signature,
    Tensor,
    Tokenization,
    Variant,
    VariantFormat,
)
from tidemill.modelpack.writer import PackageWriter

__all__ = [
    "Lineage",
    "Metrics",
    "ModelPackage",
    "PackageWriter",
    "Precision",
    "Signature",
    "Tensor",
    "Tokenization",
    "Variant",
    "VariantFormat",
]
