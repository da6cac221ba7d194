"""How the registry gets into PostgreSQL: URLs, passwords in files, TLS; and that no secret is shown."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from services.registry.database import Database
from services.registry.database_address import DatabaseAddress
from services.registry.settings import RegistrySettings
from tidemill.errors import InvalidInput, TransientError
from tidemill.settings import PlatformSettings
from tidemill.testing.certificates import Authority
from tidemill.testing.postgresql import OWNER, PostgresServer, running_postgres

SECRET = "topsecret"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"postgresql://u:{SECRET}@h:port/d", "is not one"),
        (f"//{SECRET}@h", "is not one"),
        (f"mysql://u:{SECRET}@h/d", "'mysql'"),
        (f"postgresql+asyncpg://u:{SECRET}@h/d", r"'postgresql\+asyncpg'.*postgresql://user@host/name"),
        (f"postgresql://u:{SECRET}@h", "names no database"),
        (f"postgresql://u@h/d?password={SECRET}", "'password'.*PASSWORD_FILE"),
        (f"postgresql://u@h/d?sslpassword={SECRET}", "'sslpassword'"),
    ],
)
def test_a_url_that_is_no_use_is_refused_without_being_repeated(url: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        DatabaseAddress.parse(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_the_usual_urls_are_taken(scheme: str) -> None:
    address = DatabaseAddress.parse(f"{scheme}://u:{SECRET}@h:1234/d?sslmode=verify-full")
    assert address.name == "postgresql+psycopg://u:***@h:1234/d?sslmode=verify-full"
    assert SECRET not in repr(address)


def test_without_a_url_it_is_a_file_in_the_data_folder(tmp_path: Path) -> None:
    settings = RegistrySettings(platform=PlatformSettings(data_dir=tmp_path))
    assert settings.database.file == tmp_path / "registry.db"


def test_one_password_is_enough(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(SECRET)
    with pytest.raises(InvalidInput, match="more than one password") as caught:
        DatabaseAddress.parse(f"postgresql://u:{SECRET}@h/d", password_file=tmp_path / "password")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_password_file_of_no_use_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=rf"{path}.*TIDEMILL_REGISTRY_DATABASE_PASSWORD_FILE"):
        DatabaseAddress.parse("postgresql://u@h/d", password_file=path)


async def test_settings_take_the_password_from_the_environment_or_a_file(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, path = postgres_server.create(), tmp_path / "password"
    path.write_text(f"{postgres_server.password}\n")
    monkeypatch.setenv("TIDEMILL_REGISTRY_DATABASE_URL", postgres_server.url(name, password=""))
    for variable, value in (("_PASSWORD", postgres_server.password), ("_PASSWORD_FILE", str(path))):
        with monkeypatch.context() as patch:
            patch.setenv(f"TIDEMILL_REGISTRY_DATABASE{variable}", value)
            settings = RegistrySettings()
            assert postgres_server.password not in repr(settings)
            database = Database(settings.database)
            await database.prepare()
            await database.close()


async def test_a_password_that_changes_in_its_file_is_used_from_the_next_connection_on(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    path = tmp_path / "password"
    path.write_text("one")
    postgres_server.execute("CREATE ROLE rotated LOGIN CREATEDB PASSWORD 'one'")
    url = postgres_server.url("rotating", user="rotated", password="")
    database = Database(DatabaseAddress.parse(url, password_file=path))
    assert await database.prepare()  # which creates it
    postgres_server.execute("ALTER ROLE rotated PASSWORD 'two'")
    await database.close()
    with pytest.raises(TransientError, match="password authentication failed") as caught:
        await database.revision()
    assert "\n" not in str(caught.value)
    path.write_text("two")
    assert await database.revision()
    await database.close()


async def test_a_wrong_password_is_said_and_not_shown(
    postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    database = Database(DatabaseAddress.parse(postgres_server.url("postgres", password=SECRET)))
    for look in (database.prepare, database.made_again, database.revision):
        with pytest.raises(TransientError, match=f'password authentication failed for user "{OWNER}"') as caught:
            await look()
        assert SECRET not in str(caught.value)
    await database.close()
    assert SECRET not in caplog.text


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PostgresServer, Authority]]:
    """A server that takes TLS alone, with a certificate for 127.0.0.1."""
    with running_postgres() as server:
        if not server.can_tls:
            pytest.skip("this PostgreSQL was built without TLS; apt-get install postgresql brings one with it")
        server.stop()
        authority = Authority(tmp_path_factory.mktemp("tls"))
        certificate, key = authority.issue(
            "database", into=(server.folder / "server.pem", server.folder / "server.key")
        )
        server.hand_over(certificate, key)
        data = server.folder / "data"
        (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        server.start(ssl="on", ssl_cert_file=str(certificate), ssl_key_file=str(key))
        yield server, authority


async def test_tls_is_verified_with_an_authority_of_ones_own(
    tls: tuple[PostgresServer, Authority], tmp_path: Path
) -> None:
    server, authority = tls
    verified = f"{server.url('registry')}?sslmode=verify-full&sslrootcert="
    database = Database(DatabaseAddress.parse(f"{verified}{authority.file}"))
    assert await database.prepare()
    async with database.reading() as session:
        query = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        encrypted, version = (await session.execute(text(query))).one()
    assert encrypted
    assert version in ("TLSv1.2", "TLSv1.3")
    await database.close()
    another = Authority(tmp_path, "others")
    refused = {
        f"{verified}{another.file}": "certificate verify failed",
        f"{verified}{tmp_path / 'nowhere.pem'}": 'root certificate file ".*nowhere.pem" does not exist',
        f"{server.url('registry').replace('127.0.0.1', 'localhost')}?sslmode=verify-full&sslrootcert={authority.file}":
            'does not match host name "localhost"',
        f"{server.url('registry')}?sslmode=disable": "no pg_hba.conf entry",
    }  # fmt: skip
    for url, words in refused.items():
        database = Database(DatabaseAddress.parse(url))
        with pytest.raises(TransientError, match=words) as caught:
            await database.prepare()
        assert server.password not in str(caught.value)
        await database.close()
