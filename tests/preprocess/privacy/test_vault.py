"""Reversible tokens and the vault that knows what they stand for."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.preprocess.privacy import collected, merged, reveal, write_vault
from tidemill.errors import CorruptArtifact, InvalidInput, NotFound

KEY = b"a key of the tests, 32 bytes ..."
RULE = {"detect": "structural", "treatment": "token", "columns": {"name": "token"}}
TABLE = pa.table(
    {
        "text": ["mail Anna@Firm.org, 电话１３８１２３４５６７８", "nothing", "anna@firm.org"],
        "name": ["Ann", None, "Ann"],
    }
)


@pytest.fixture
def vault(treat, tmp_path):
    treated = treat(RULE, TABLE)
    write_vault(collected([treated.tokens]), tmp_path, KEY)
    return treated, tmp_path


def test_a_token_gives_back_the_value_as_it_was_written(vault):
    treated, folder = vault
    text, _, last = treated["text"]
    mail, phone = text.split()[1].rstrip(","), "<" + text.split("<")[-1]
    assert mail.startswith("<EMAIL:")
    assert reveal(folder, mail.split("，")[0].split(",")[0], KEY) == "Anna@Firm.org"
    assert reveal(folder, phone, KEY) == "１３８１２３４５６７８"
    assert reveal(folder / "vault", last, KEY) == "anna@firm.org"
    assert treated["name"] == [treated["name"][0], None, treated["name"][0]]
    assert reveal(folder, treated["name"][0], KEY) == "Ann"


def test_the_vault_holds_each_token_once_and_no_value(vault):
    _, folder = vault
    table = pq.read_table(folder / "vault" / "tokens.parquet")
    assert table.column_names == ["token", "entity", "nonce", "ciphertext"]
    assert table.num_rows == 4
    assert table["token"].to_pylist() == sorted(table["token"].to_pylist())
    written = (folder / "vault" / "tokens.parquet").read_bytes()
    assert all(value not in written for value in (b"Anna@Firm", b"anna@firm", KEY))


def test_the_same_values_give_the_same_bytes_however_they_are_cut_into_shards(treat, vault, tmp_path):
    _, folder = vault
    shards = []
    for number in range(3):
        shards.append(tmp_path / str(number))
        tokens = treat(RULE, TABLE.slice(number, 1)).tokens
        write_vault(collected([tokens]), shards[-1], KEY)
    found = [shard for shard in shards if (shard / "vault").is_dir()]
    assert len(found) == 2
    write_vault(merged(found), tmp_path / "all", KEY)
    name = "vault/tokens.parquet"
    assert (tmp_path / "all" / name).read_bytes() == (folder / name).read_bytes()


def test_no_tokens_no_vault(tmp_path):
    assert write_vault(collected([]), tmp_path, KEY) is None
    assert not list(tmp_path.iterdir())


def test_another_key_an_unknown_token_and_a_broken_vault_are_told_apart(vault, tmp_path):
    treated, folder = vault
    token = treated["name"][0]
    with pytest.raises(InvalidInput, match="not the key that the vault was written with"):
        reveal(folder, token, b"another key, also long enough")
    with pytest.raises(NotFound, match="has no token '<EMAIL:0000>'"):
        reveal(folder, "<EMAIL:0000>", KEY)
    with pytest.raises(CorruptArtifact, match="cannot be read"):
        reveal(tmp_path / "nowhere", token, KEY)


def test_a_changed_entry_is_not_revealed(vault):
    treated, folder = vault
    path = folder / "vault" / "tokens.parquet"
    table = pq.read_table(path)
    swapped = table.set_column(3, "ciphertext", pa.array(reversed(table["ciphertext"].to_pylist()), pa.binary()))
    pq.write_table(swapped.replace_schema_metadata(table.schema.metadata), path)
    with pytest.raises(CorruptArtifact, match="is not what was written"):
        reveal(folder, treated["name"][0], KEY)
