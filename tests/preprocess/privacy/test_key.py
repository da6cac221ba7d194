"""The key is read by reference and shown nowhere."""

from __future__ import annotations

import pytest

from services.preprocess.privacy import key_fingerprint, read_key
from tidemill.errors import InvalidInput


def test_a_key_is_read_from_the_environment_or_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("TIDEMILL_TEST_KEY", "sixteen bytes or more\n")
    (tmp_path / "key").write_bytes(b"sixteen bytes or more\n")
    assert read_key("env:TIDEMILL_TEST_KEY") == b"sixteen bytes or more" == read_key(f"file:{tmp_path / 'key'}")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("env:TIDEMILL_NO_SUCH_KEY", "environment variable 'TIDEMILL_NO_SUCH_KEY' .* is not set or empty"),
        ("env:TIDEMILL_SHORT_KEY", "has 9 bytes; a key needs at least 16"),
        ("file:/no/such/key", "file /no/such/key .* cannot be read: No such file"),
        ("s3cret-itself", "a reference, env:NAME or file:/path, never the key itself"),
    ],
)
def test_what_is_wrong_with_a_key_is_said_without_the_key(monkeypatch, reference, message):
    monkeypatch.setenv("TIDEMILL_SHORT_KEY", "s3cret-99")
    with pytest.raises(InvalidInput, match=message) as raised:
        read_key(reference)
    assert "s3cret" not in str(raised.value)


def test_a_fingerprint_differs_by_key_and_holds_none():
    first, second = key_fingerprint(b"a key that is long enough"), key_fingerprint(b"another that is long enough")
    assert first != second
    assert first == key_fingerprint(b"a key that is long enough")
    assert len(first) == 32
