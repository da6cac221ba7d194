"""Both kinds of storage pass the one suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.artifacts import open_store
from tidemill.artifacts.buckets import prepare_bucket
from tidemill.testing.artifact_store import ArtifactStoreContract


class TestLocalFolder(ArtifactStoreContract):
    @pytest.fixture
    def url(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        return str(tmp_path_factory.mktemp("store") / "a new 文件夹")


class TestS3(ArtifactStoreContract):
    @pytest.fixture
    async def url(self, s3: str, bucket: str) -> str:
        url = f"s3://{bucket}/some/prefix"
        await prepare_bucket(url)
        return url


class TestFileUrl:
    async def test_a_file_url_and_a_path_name_the_same_store(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.txt").write_text("x")
        folder = tmp_path / "a store"
        ref = await open_store(folder.as_uri(), cache=tmp_path / "cache").put(tmp_path / "in", kind="source")
        assert await open_store(str(folder), cache=tmp_path / "cache").exists(ref)
