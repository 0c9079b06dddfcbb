"""URLs and variables that MLflow's driver and Railtrack connect with, for record_urls.py and test_url_oracle.py.

{port}, {folder} (of the socket), {ours} and {other} (authorities) are replaced.
"""

from collections.abc import Mapping
from typing import NamedTuple

PASSWORD = "pä ss@/#?%+:"
ENCODED = "p%C3%A4%20ss%40%2F%23%3F%25%2B%3A"
PLAIN = "a/b#c?d:e+f"
ROLES = {"encoded": PASSWORD, "plain": PLAIN}
HBA = (
    "host all encoded all scram-sha-256",
    "host all plain all md5",
    "hostssl all postgres all trust",
    "hostnossl all postgres 127.0.0.1/32 trust",
    "hostssl all secure all trust",
    "hostnossl all unsafe all trust",
    "local all all trust",
)


class Case(NamedTuple):
    url: str
    environ: Mapping[str, str] = {}


BASE = "postgresql+psycopg2://postgres@localhost:{port}/postgres"
HERE = {"PGHOST": "localhost", "PGPORT": "{port}", "PGUSER": "postgres"}
QUERIES = [
    *(f"sslmode={mode}" for mode in ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")),
    *(
        f"sslmode={mode}&sslrootcert={{{file}}}"
        for mode in ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
        for file in ("ours", "other")
    ),
    "sslmode=require&sslrootcert=/no/file",
    "sslmode=require&sslcert=/no/file&sslkey=/no/file",
    "sslmode=require&channel_binding=prefer",
    "sslmode=require&channel_binding=disable&gssencmode=disable",
    "gssencmode=prefer&krbsrvname=postgres&client_encoding=utf8&application_name=a+b&fallback_application_name=c",
    "client_encoding=latin1",
    "connect_timeout=0",
    "connect_timeout=5&keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=3&tcp_user_timeout=9000",
    "keepalives=0&sslcompression=0&sslsni=0",
    "options=-csearch_path%3Dpublic%20-cstatement_timeout%3D9000",
    "options=-cnope%3D1",
    "target_session_attrs=read-write",
    "target_session_attrs=primary",
    "target_session_attrs=prefer-standby",
    "target_session_attrs=standby",
    "target_session_attrs=read-only",
    "load_balance_hosts=random&require_auth=none",
    "hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={ours}",
    "ssl_min_protocol_version=TLSv1.2&ssl_max_protocol_version=TLSv1.2&sslmode=require",
    "sslcertmode=disable",
    "unknown=1",
    "port=1",
    "dbname=template1",
    "user=nobody",
]
URLS = [
    Case("postgresql+psycopg2://", HERE),
    Case("postgresql+psycopg2:///postgres", HERE),
    Case("postgresql+psycopg2://", {**HERE, "PGDATABASE": "template1", "PGSSLMODE": "require", "PGAPPNAME": "x"}),
    Case("postgresql+psycopg2://localhost/postgres", {"PGPORT": "{port}", "PGUSER": "postgres"}),
    Case("postgresql+psycopg2:///postgres", {**HERE, "PGHOST": "", "PGHOSTADDR": "127.0.0.1"}),
    Case(BASE, {"PGOPTIONS": "-csearch_path=public", "PGCONNECT_TIMEOUT": "5", "PGTARGETSESSIONATTRS": "any"}),
    Case(BASE, {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "{ours}"}),
    Case(BASE, {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "{other}"}),
    Case("postgresql+psycopg2://postgres@/postgres?host={folder}&port={port}"),
    Case("postgresql+psycopg2://postgres@:{port}/postgres?host={folder}&sslmode=verify-full"),
    Case("postgresql+psycopg2://postgres@/postgres?host=localhost:{port}"),
    Case("postgresql+psycopg2://postgres@/postgres?host=localhost:1&host=localhost:{port}"),
    Case("postgresql+psycopg2://postgres@/postgres?host=localhost,localhost&port=1,{port}"),
    Case("postgresql+psycopg2://postgres@/postgres?host=127.0.0.1,localhost&port={port}&target_session_attrs=primary"),
    Case("postgresql+psycopg2://?user=postgres&host=localhost&port={port}&dbname=postgres"),
    Case(f"postgresql+psycopg2://encoded:{ENCODED}@localhost:{{port}}/postgres"),
    Case(f"postgresql+psycopg2://localhost:{{port}}/postgres?user=encoded&password={ENCODED}"),
    Case(f"postgresql+psycopg2://plain:{PLAIN}@localhost:{{port}}/postgres"),
    Case("postgresql+psycopg2://plain@localhost:{port}/postgres", {"PGPASSWORD": PLAIN}),
    Case("postgresql+psycopg2://plain:wrong@localhost:{port}/postgres"),
    Case("postgresql+psycopg2://plain@localhost:{port}/postgres"),
    *(
        Case(f"postgresql+psycopg2://{role}@localhost:{{port}}/postgres?sslmode={mode}")
        for role in ("secure", "unsafe")
        for mode in ("disable", "allow", "prefer", "require")
    ),
    Case("postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres?sslmode=verify-full&sslrootcert={ours}"),
    Case("postgresql+psycopg2://postgres@localhost:{port}/nowhere"),
]
CASES = [*(Case(f"{BASE}?{query}") for query in QUERIES), *URLS]
