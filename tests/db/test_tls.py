"""PostgreSQL with TLS in every sslmode, and the next step that the start names where it cannot connect."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.db.test_open import start_error
from tests.servers.certificates import Authority
from tests.servers.pgbouncer import pgbouncer
from tests.servers.postgres import PostgresCluster, PostgresServer, tls_cluster

from railtrack.db.open import open_database
from railtrack.db.url import parse_database_url

pytestmark = pytest.mark.postgresql

LONG = 120
"""Seconds that a start may wait; a failure that waiting cannot cure ends it at once."""
ANY = "host all all all trust"


class Setup(NamedTuple):
    cluster: PostgresCluster
    ours: Authority
    other: Authority

    def url(self, query: str = "", *, host: str = "localhost") -> str:
        """Return a URL; {ours} and {other} in `query` are the authorities' files."""
        files = query.format(ours=self.ours.bundle, other=self.other.bundle)
        return f"postgresql://postgres@{host}:{self.cluster.port}/postgres?{files}"


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    ours, other = (Authority.new(tmp_path_factory.mktemp(name)) for name in ("ours", "other"))
    with tls_cluster(ours, "localhost") as cluster:
        yield Setup(cluster, ours, other)


def is_encrypted(url: str) -> bool:
    async def connected() -> bool:
        db = open_database(parse_database_url(url), connections=1)
        try:
            return bool(await db.fetch_value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
        finally:
            await db.close()

    return asyncio.run(connected())


def let_in(setup: Setup, *lines: str) -> None:
    setup.cluster.let_in(*lines)


@pytest.mark.parametrize(
    ("query", "encrypted"),
    [
        ("sslmode=disable&sslrootcert={other}", False),
        ("sslmode=allow&sslrootcert={other}", False),
        ("sslmode=prefer&sslrootcert={other}", True),
        ("", True),
        ("sslmode=require", True),
        ("sslmode=require&sslrootcert={ours}", True),
        ("sslmode=verify-ca&sslrootcert={ours}", True),
        ("sslmode=verify-full&sslrootcert={ours}", True),
        ("sslmode=require&ssl_min_protocol_version=TLSv1.3", True),
        ("sslmode=require&channel_binding=require&gssencmode=disable", True),
        ("keepalives_idle=30&keepalives_interval=10&keepalives_count=3&tcp_user_timeout=10000", True),
        ("target_session_attrs=read-write&load_balance_hosts=random&connect_timeout=5&client_encoding=utf8", True),
    ],
)
def test_every_sslmode_connects(setup: Setup, query: str, encrypted: bool) -> None:
    let_in(setup, ANY)
    assert is_encrypted(setup.url(query)) is encrypted


def test_an_address_may_differ_from_the_name_in_the_certificate(setup: Setup) -> None:
    let_in(setup, ANY)
    query = "sslmode=verify-full&sslrootcert={ours}"
    assert is_encrypted(setup.url(f"hostaddr=127.0.0.1&{query}"))
    assert is_encrypted(setup.url(query.replace("full", "ca"), host="127.0.0.1"))


@pytest.mark.parametrize("host", ["host={folder}&port={port}", "host={folder}&port={port}&sslmode=verify-full"])
def test_a_socket_is_used_without_tls(setup: Setup, host: str) -> None:
    let_in(setup, "local all all trust")
    query = host.format(folder=setup.cluster.folder, port=setup.cluster.port)
    assert not is_encrypted(f"postgresql://postgres@/postgres?{query}")
    encoded = str(setup.cluster.folder).replace("/", "%2F")
    assert not is_encrypted(f"postgresql://postgres@{encoded}:{setup.cluster.port}/postgres")


def test_a_client_certificate_is_sent(setup: Setup, tmp_path: Path) -> None:
    let_in(setup, "hostssl all all all trust clientcert=verify-full")
    files = {name: setup.ours.certify(name) for name in ("postgres", "other")}
    for mode in ("prefer", "require"):
        assert is_encrypted(setup.url(f"sslmode={mode}&sslcert={files['postgres']}&sslkey={files['postgres']}"))
        assert "Set sslcert and sslkey" in start_error(setup.url(f"sslmode={mode}"), wait=LONG)
    locked = setup.ours.certify("postgres", password="secret")
    assert is_encrypted(setup.url(f"sslmode=require&sslcert={locked}&sslkey={locked}&sslpassword=secret"))
    line = start_error(setup.url(f"sslmode=require&sslcert={locked}&sslkey={locked}&sslpassword=wrong"))
    assert "cannot use the client certificate" in line
    assert "trust" in start_error(setup.url(f"sslmode=require&sslcert={files['other']}&sslkey={files['other']}"))


UNTRUSTED = "Set sslrootcert to the certificate of the authority that issued it"
ERRORS = {
    "another authority": ((ANY,), "localhost", "sslmode=verify-ca&sslrootcert={other}", UNTRUSTED),
    "another authority, require": ((ANY,), "localhost", "sslmode=require&sslrootcert={other}", UNTRUSTED),
    "another host": ((ANY,), "127.0.0.1", "sslmode=verify-full&sslrootcert={ours}", "Use the host name that is in"),
    "TLS is wanted": (("hostssl all all all trust",), "localhost", "sslmode=disable", "set sslmode=require"),
    "TLS is not wanted": (("hostnossl all all all trust",), "localhost", "sslmode=require", "set sslmode=prefer"),
    "an unknown role": ((ANY,), "nobody@localhost", "", "Correct the user, or let it in"),
    "no password": (("host all all all scram-sha-256",), "localhost", "", "The URL has no password"),
    "Kerberos": (("host all all all gss",), "localhost", "", "The driver cannot log in by Kerberos"),
    "an unknown setting": ((ANY,), "localhost", "options=-cnope%3D1", "Correct the settings in `options`"),
}


@pytest.mark.parametrize(("hba", "host", "query", "advice"), ERRORS.values(), ids=ERRORS)
def test_the_next_step_names_the_cause(setup: Setup, hba: tuple[str, ...], host: str, query: str, advice: str) -> None:
    let_in(setup, *hba)
    url = setup.url(query, host=host).replace("postgres@nobody@", "nobody@")
    assert advice in start_error(url, wait=LONG)


def test_a_server_that_is_never_suitable_is_waited_for(setup: Setup) -> None:
    let_in(setup, ANY)
    line = start_error(setup.url("target_session_attrs=standby"))
    assert "no host is suitable" in line
    assert "None of the hosts is of the kind that is needed" in line


def test_a_pooler_that_rejects_options_is_named(postgres: PostgresServer) -> None:
    with pgbouncer(postgres.url, pool_size=2) as pooled:
        assert not is_encrypted(f"{pooled}?target_session_attrs=read-write&channel_binding=prefer")
        line = start_error(f"{pooled}?options=-csearch_path%3Dmlflow", wait=LONG)
        assert "unsupported startup parameter" in line
        assert "The pooler does not forward `options`" in line
        assert "Create that database" in start_error(pooled.replace("/postgres", "/nowhere"), wait=LONG)
