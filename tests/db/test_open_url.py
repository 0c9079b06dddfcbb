"""Every spelling of a database URL, with libpq's variables and files, and the errors for URLs that cannot be used."""

from pathlib import Path

import pytest
from tests.servers.certificates import Authority

from railtrack.db.libpq import Host
from railtrack.db.url import DatabaseUrl, parse_database_url
from railtrack.errors import StartError


def parse(text: str, **environ: str) -> DatabaseUrl:
    return parse_database_url(text, environ={"HOME": "/nonexistent", **environ})


def summary(text: str, **environ: str) -> tuple[str, str, str, str]:
    """Return user, password, addresses and database of a URL."""
    url = parse(text, **environ)
    return url.user, url.password, ",".join(map(str, url.hosts)), url.database


SPELLINGS = [
    "postgresql://user:secret@host:5433/name",
    "postgres://user:secret@host:5433/name",
    "postgresql+psycopg2://user:secret@host:5433/name",
    "postgresql+asyncpg://user:secret@host:5433/name",
    "postgresql+psycopg://user:secret@host:5433/name",
    "postgresql://?user=user&password=secret&host=host&port=5433&dbname=name",
    "postgresql://user@/name?host=host:5433&password=secret",
    "postgresql://host:5433/name?user=user&password=secret",
    "postgresql://other:wrong@elsewhere:1/no?user=user&password=secret&host=host&port=5433&database=name",
    "postgresql+psycopg2:///name?host=host&port=5433&user=user&password=secret",
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_all_spellings_mean_the_same(text: str) -> None:
    assert parse(text) == DatabaseUrl(
        "postgresql", user="user", password="secret", hosts=(Host("host", 5433),), database="name"
    )


HOSTS = {
    "postgresql://u@h1:1,h2:2/n": "h1:1,h2:2",
    "postgresql://u@h1,h2:2/n": "h1:5432,h2:2",
    "postgresql://u@/n?host=h1:1&host=h2:2": "h1:1,h2:2",
    "postgresql://u@/n?host=h1&host=h2": "h1:5432,h2:5432",
    "postgresql://u@/n?host=h1,h2&port=1,2": "h1:1,h2:2",
    "postgresql://u@/n?host=h1,h2&port=7": "h1:7,h2:7",
    "postgresql://u@/n?host=h1,h2,h3": "h1:5432,h2:5432,h3:5432",
    "postgresql://u@:6432/n?host=h1,h2": "h1:6432,h2:6432",
    "postgresql://u@[fd12::1]:5433/n": "[fd12::1]:5433",
    "postgresql://u@[fd12::1],[fd12::2]:7/n": "[fd12::1]:5432,[fd12::2]:7",
    "postgresql://u@/n?host=fd12::1": "[fd12::1]:5432",
    "postgresql://u@/n?host=[fd12::1]:7&host=h2": "[fd12::1]:7,h2:5432",
    "postgresql://u@/n?host=/run/postgresql": "%2Frun%2Fpostgresql:5432",
    "postgresql://u@%2Frun%2Fpostgresql:6432/n": "%2Frun%2Fpostgresql:6432",
    "postgresql://u@/n?host=/cloudsql/project:region:instance": "%2Fcloudsql%2Fproject:region:instance:5432",
    "postgresql://u@h1/n?hostaddr=10.0.0.1": "h1:5432",
    "postgresql://u@/n?hostaddr=10.0.0.1,10.0.0.2&port=1,2": "10.0.0.1:1,10.0.0.2:2",
}


@pytest.mark.parametrize(("text", "addresses"), HOSTS.items(), ids=HOSTS)
def test_hosts_and_ports_in_all_spellings(text: str, addresses: str) -> None:
    url = parse(text)
    assert url.addresses == addresses
    assert url.masked == f"postgresql://u@{addresses}/n"


def test_the_parts_of_a_url_may_be_percent_encoded() -> None:
    assert summary("postgresql://us%40er:p%40ss%2Fw%23rd%3F%25+%C3%A4@ho%73t/na%20me") == (
        "us@er",
        "p@ss/w#rd?%+ä",
        "host:5432",
        "na me",
    )


@pytest.mark.parametrize("password", ["a/b#c?d:e", "a/b?c=d", "[x]", "a:b:c", "1234/5?x", "50%", "pä ss"])
def test_a_password_may_contain_anything_but_the_at_sign(password: str) -> None:
    assert summary(f"postgresql://user:{password}@host/name") == ("user", password, "host:5432", "name")


def test_a_user_may_contain_an_at_sign_and_a_password_in_the_query_too() -> None:
    assert summary("postgresql://me@server:secret@host/name") == ("me@server", "secret", "host:5432", "name")
    assert summary("postgresql://host:1/name?user=me&password=p@ss") == ("me", "p@ss", "host:1", "name")
    assert summary("postgresql://host/?user=m@e") == ("m@e", "", "host:5432", "m@e")


def test_what_a_url_omits_has_libpqs_defaults() -> None:
    user, password, hosts, database = summary("postgresql://")
    assert (password, database) == ("", user)
    assert hosts == "%2Fvar%2Frun%2Fpostgresql:5432,%2Frun%2Fpostgresql:5432,%2Ftmp:5432,localhost:5432"
    assert parse("postgresql://me@/name").masked == "postgresql://me@/name"
    assert parse("postgresql://me@host").database == "me"


def test_libpqs_variables_complete_a_url() -> None:
    everything = {"PGHOST": "h1,h2", "PGPORT": "1,2", "PGUSER": "me", "PGPASSWORD": "secret", "PGDATABASE": "name"}
    assert summary("postgresql://", **everything) == ("me", "secret", "h1:1,h2:2", "name")
    assert summary("postgresql://you:pw@host:7/other", **everything) == ("you", "pw", "host:7", "other")
    assert summary("postgresql://you@/", **everything)[0] == "you"
    assert parse("postgresql://u@host/n", PGPORT="6432").port == 6432
    assert parse("postgresql://u@/n", PGHOSTADDR="10.0.0.1").hosts == (Host("", 5432, "10.0.0.1"),)


def test_libpqs_variables_set_options() -> None:
    variables = {
        "PGSSLMODE": "require",
        "PGOPTIONS": "-csearch_path=mlflow",
        "PGAPPNAME": "tracking",
        "PGCONNECT_TIMEOUT": "3",
        "PGTARGETSESSIONATTRS": "primary",
    }
    assert dict(parse("postgresql://u@h/n", **variables).options) == {
        "sslmode": "require",
        "options": "-csearch_path=mlflow",
        "application_name": "tracking",
        "connect_timeout": "3",
        "target_session_attrs": "primary",
    }
    assert parse("postgresql://u@h/n?sslmode=disable", **variables).options["sslmode"] == "disable"
    with pytest.raises(StartError, match="sslmode='always' is not one of"):
        parse("postgresql://u@h/n", PGSSLMODE="always")


def test_a_service_completes_a_url_before_the_variables_do(tmp_path: Path) -> None:
    file = tmp_path / "services"
    file.write_text("[other]\nhost=no\n# a comment\n[mine]\nhost=h1,h2\nport=7\n\nuser=me\npassword=a=b\ndbname=name\n")
    files = {"PGSERVICEFILE": str(file), "PGHOST": "ignored", "PGPORT": "1"}
    expected = ("me", "a=b", "h1:7,h2:7", "name")
    assert summary("postgresql://", PGSERVICE="mine", **files) == expected
    assert summary("postgresql://?service=mine", **files) == expected
    assert summary("postgresql://you@/db?service=mine", **files) == ("you", "a=b", "h1:7,h2:7", "db")
    with pytest.raises(StartError, match="there is no service 'missing' in"):
        parse("postgresql://?service=missing", **files)
    file.write_text("[mine]\nldap=x\n")
    with pytest.raises(StartError, match="sets 'ldap', which is not supported"):
        parse("postgresql://?service=mine", **files)


def test_passwords_come_from_the_password_file(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.write_text("# comment\nh1:*:name:me:one\nh2:7:*:me:t\\:w\\\\o\nlocalhost:*:*:me:socket\n")
    file.chmod(0o600)
    url = parse("postgresql://me@h1,h2:7,h3/name", PGPASSFILE=str(file))
    assert [url.password_of(host) for host in url.hosts] == ["one", "t:w\\o", ""]
    assert {"one", "t:w\\o", "t%3Aw%5Co"} <= url.secrets
    assert parse("postgresql://me@/x", PGPASSFILE=str(file)).password_of(Host("/tmp", 5432)) == "socket"
    assert parse(f"postgresql://me@h1/name?passfile={file}").password_of(Host("h1", 5432)) == "one"
    assert parse("postgresql://me:given@h1/name", PGPASSFILE=str(file)).password_of(Host("h1", 5432)) == "given"
    file.chmod(0o644)
    public = parse("postgresql://me@h1/name", PGPASSFILE=str(file))
    assert public.password_of(Host("h1", 5432)) == ""
    assert "the password file is ignored, because others may read it" in public.warnings[0]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sqlite:///relative.db", "relative.db"),
        ("sqlite:////absolute/a b.db", "/absolute/a b.db"),
        ("sqlite:////absolute/a%20b.db", "/absolute/a b.db"),
        ("sqlite+pysqlite:///relative.db", "relative.db"),
        ("sqlite:///relative.db?timeout=5&check_same_thread=false", "relative.db"),
    ],
)
def test_a_sqlite_file_is_relative_or_absolute(text: str, path: str) -> None:
    url = parse_database_url(text)
    assert (url.engine, url.path) == ("sqlite", path)
    assert len(url.warnings) == text.count("=")


def test_a_sqlite_file_that_an_older_sqlalchemy_named_literally_is_used(tmp_path: Path) -> None:
    literal = tmp_path / "a%20b.db"
    literal.touch()
    assert parse_database_url(f"sqlite:///{literal}").path == str(literal)
    (tmp_path / "a b.db").touch()
    assert parse_database_url(f"sqlite:///{literal}").path == str(tmp_path / "a b.db")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://user:secret@host:5432/railway", "postgresql://user:***@host:5432/railway"),
        ("postgres://user:secret@host", "postgresql://user:***@host:5432/user"),
        ("postgresql://user@host/railway", "postgresql://user@host:5432/railway"),
        ("postgresql://host/db?user=user&password=secret", "postgresql://user:***@host:5432/db"),
        ("postgresql://host/db?user=user&p%61ssword=s%65cret", "postgresql://user:***@host:5432/db"),
        ("postgresql://user@host/db?sslpassword=secret", "postgresql://user@host:5432/db"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
    ],
)
def test_an_address_is_shown_without_its_password(text: str, shown: str) -> None:
    url = parse_database_url(text)
    assert url.masked == shown
    assert "secret" not in repr(url)
    assert ("secret" in url.secrets) == ("cret" in text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("postgresql://user:p@ss@host/name", "special characters of the password have to be percent-encoded"),
        ("postgresql://user:secret@host:port/name", "a port is not a number"),
        ("postgresql://user:secret", "a port is not a number"),
        ("postgresql:user:secret@host", "not a URL of the form"),
        ("postgresql://user:secret@host:99999/name", "invalid port 99999"),
        ("postgresql://user:secret@h1,h2,h3/name?port=1,2", "2 ports do not match 3 hosts"),
        ("postgresql://user:secret@h1,h2/name?hostaddr=10.0.0.1,10.0.0.2,10.0.0.3", "do not match 3 addresses"),
        ("postgresql://user:secret@/name?host=h1:1&host=h2:2&port=3", "ports are both in host and in port"),
        ("postgresql://host/name?schema=mlflow", "the option 'schema' is not supported; to use a schema, add options="),
        ("postgresql://host/name?unknown=secret", "the option 'unknown' is not supported; leave it out"),
        ("postgresql://host/name?gssencmode=require", "gssencmode=require is not supported"),
        ("postgresql://host/name?replication=database", "replication connections cannot be used"),
        ("postgresql://host/name?sslmode=always", "sslmode='always' is not one of"),
        ("postgresql://host/name?target_session_attrs=top", "target_session_attrs='top' is not one of"),
        ("postgresql://host/name?connect_timeout=soon", "connect_timeout is not a whole number"),
        ("postgresql://host/name?sslmode=verify-ca&sslrootcert=/no/file", "there is no file /no/file"),
        ("postgresql://host/name?sslmode=require&sslrootcert=system", "requires sslmode=verify-full"),
        ("postgresql://host/name?sslnegotiation=direct", "sslnegotiation=direct requires sslmode=require"),
        ("postgresql://user:a%00secret@host/name", "password contains a NUL character"),
        ("postgresql://user:\udc80secret@host/name", "password is not UTF-8 text"),
        ("sqlite:///a.db?mode=ro", "the option 'mode' of a SQLite URL is not supported"),
        ("sqlite://", "SQLite needs a file"),
        ("sqlite:///:memory:", "SQLite needs a file"),
        ("sqlite:///a%00.db", "path contains a NUL character"),
        ("mysql+pymysql://user:secret@host/name", "MySQL is not supported; Railtrack keeps its data in PostgreSQL"),
        ("mssql+pyodbc://user:secret@host/name", "Microsoft SQL Server is not supported"),
        ("oracle://user:secret@host/name", "Oracle is not supported"),
        ("./mlruns", "PostgreSQL (postgresql://...) or SQLite (sqlite:///file.db) only"),
    ],
)
def test_an_unusable_url_is_rejected_with_the_reason(text: str, fault: str) -> None:
    with pytest.raises(StartError) as error:
        parse(text)
    line = str(error.value)
    assert fault in line
    assert line.startswith("MLFLOW_BACKEND_STORE_URI")
    assert "\n" not in line
    assert "secret" not in line


def test_errors_name_the_setting_of_the_url() -> None:
    with pytest.raises(StartError, match=r"^--registry-store-uri: invalid port 0"):
        parse_database_url("postgresql://host:0/name", setting="--registry-store-uri")


@pytest.mark.parametrize(
    ("option", "warning"),
    [
        ("channel_binding=require", "channel_binding=require has no effect: the driver does not bind the login"),
        ("client_encoding=latin1", "client_encoding=latin1 has no effect: the driver always uses UTF-8"),
        ("require_auth=scram-sha-256", "require_auth=scram-sha-256 has no effect"),
        ("sslmode=require&sslrootcert=/no/file", "sslrootcert=/no/file has no effect: there is no such file"),
        ("sslcert=/no/file", "sslcert=/no/file has no effect: there is no such file"),
        ("sslsni=0", "sslsni=0 has no effect"),
    ],
)
def test_parameters_without_effect_are_named(option: str, warning: str) -> None:
    assert [line.partition(warning)[1] for line in parse(f"postgresql://u@h/n?{option}").warnings] == [warning]


@pytest.mark.parametrize(
    "option",
    [
        "channel_binding=prefer",
        "client_encoding=UTF-8",
        "client_encoding=utf8",
        "gssencmode=disable",
        "gssencmode=prefer",
        "sslsni=1",
        "sslmode=disable&sslrootcert=/no/file",
        "keepalives=1&keepalives_idle=30",
    ],
)
def test_parameters_that_ask_for_what_happens_anyway_are_accepted_silently(option: str) -> None:
    assert parse(f"postgresql://u@h/n?{option}").warnings == ()


def test_a_verified_certificate_needs_an_authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(StartError, match=r"sslmode=verify-full needs the certificate .* sslrootcert=system"):
        parse("postgresql://host/name?sslmode=verify-full")
    assert parse("postgresql://host/name?sslrootcert=system").options["sslmode"] == "verify-full"
    assert parse("postgresql://u@/name?host=/run&sslmode=verify-full"), "a socket does not use TLS"
    bundle = Authority.new(tmp_path).bundle
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").write_bytes(bundle.read_bytes())
    assert parse("postgresql://host/name?sslmode=verify-full")
    bundle.write_text("no certificate")
    with pytest.raises(StartError, match="cannot read certificates from the file of sslrootcert"):
        parse(f"postgresql://host/name?sslmode=verify-full&sslrootcert={bundle}")


def test_ssl_of_other_drivers_is_an_sslmode() -> None:
    assert parse("postgresql://host/name?ssl=true").options["sslmode"] == "require"
    assert parse("postgresql+asyncpg://host/name?ssl=prefer").options["sslmode"] == "prefer"


def test_a_pooler_may_be_named_in_the_url() -> None:
    assert parse("postgresql://host/name?pgbouncer=true").pooler
    assert not parse("postgresql://host/name").pooler
