"""`--uvicorn-opts` and its like: the settings that they stand for, and the lines about the rest."""

import pytest

from railtrack.config.lookup import warnings
from railtrack.config.parsers import InvalidValue
from railtrack.config.server_options import ServerOption, option_reports, parse_server_options
from railtrack.config.settings import load, resolve_all
from railtrack.errors import StartError
from railtrack.http_server.limits import KEEP_ALIVE_S
from railtrack.http_server.processes import GRACE_S, STUCK_LIMIT_S, UNDO_S


def test_an_option_takes_the_next_word_unless_that_is_an_option_too() -> None:
    text = (
        """--workers 3 -t180 -k=gevent --proxy-headers --forwarded-allow-ips='*' --access-logfile - --name "a b" -w 2"""
    )
    assert parse_server_options(text) == (
        ServerOption("--workers", "3"),
        ServerOption("-t", "180"),
        ServerOption("-k", "gevent"),
        ServerOption("--proxy-headers", ""),
        ServerOption("--forwarded-allow-ips", "*"),
        ServerOption("--access-logfile", "-"),
        ServerOption("--name", "a b"),
        ServerOption("-w", "2"),
    )
    assert parse_server_options("") == ()


@pytest.mark.parametrize("text", ["--a 'b", "60", "--workers 3 4"])
def test_what_is_no_command_line_is_an_error(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_server_options(text)


def test_options_with_a_meaning_here_are_settings() -> None:
    uvicorn = (
        "--ssl-keyfile k --ssl-certfile c --ssl-keyfile-password p --ssl-ca-certs a --ssl-cert-reqs 2 --ssl-ciphers x "
        "--workers 3 --log-level Warning --access-log --forwarded-allow-ips=10.0.0.0/8"
    )
    settings = load({}, {"MLFLOW_UVICORN_OPTS": uvicorn})
    tls = settings.tls
    assert (tls.key_file, tls.cert_file, tls.key_password, tls.client_ca_file) == ("k", "c", "p", "a")
    assert (tls.client_certificates, tls.ciphers) == ("required", "x")
    assert (settings.server.workers, settings.logs.level, settings.logs.access_log) == (3, "warning", True)
    assert settings.server.trusted_proxies == ("10.0.0.0/8",)

    gunicorn = "-w 5 --threads 8 --keyfile k --certfile c --ca-certs a --cert-reqs 1 --log-level critical"
    settings = load({"server.gunicorn_opts": gunicorn}, {})
    assert (settings.server.workers, settings.server.threads, settings.logs.level) == (5, 8, "error")
    assert (settings.tls.key_file, settings.tls.cert_file, settings.tls.client_certificates) == ("k", "c", "optional")

    assert load({}, {"GUNICORN_CMD_ARGS": "--workers=6"}).server.workers == 6
    assert load({"server.waitress_opts": "--threads=7"}, {}).server.threads == 7


def test_a_setting_of_its_own_wins_over_an_option() -> None:
    environ = {"MLFLOW_UVICORN_OPTS": "--workers 3", "MLFLOW_WORKERS": "2"}
    assert load({}, environ).server.workers == 2
    assert load({"server.workers": "4"}, environ).server.workers == 4


def test_an_invalid_option_is_reported_with_its_source() -> None:
    with pytest.raises(StartError) as caught:
        load({"server.gunicorn_opts": "--workers many"}, {})
    assert str(caught.value).startswith("Invalid number of workers in --workers of --gunicorn-opts: 'many'.")


def test_each_option_without_effect_is_one_line() -> None:
    environ = {"MLFLOW_GUNICORN_OPTS": "--timeout 120 -k gevent --workers 2 --error-logfile - --preload --umask 0"}
    assert warnings(resolve_all({"server.uvicorn_opts": "--reload --root-path /x --proxy-headers"}, environ)) == [
        "--reload of --uvicorn-opts has no effect: code is not reloaded.",
        "--root-path of --uvicorn-opts has no effect: --static-prefix names the prefix of all paths.",
        "--timeout of MLFLOW_GUNICORN_OPTS has no effect: requests have no time limit, and a worker that hangs for "
        "60 s is replaced.",
        "-k of MLFLOW_GUNICORN_OPTS has no effect: each worker serves all of its requests in one event loop.",
        "--umask of MLFLOW_GUNICORN_OPTS has no effect: Railtrack sets up its processes and connections itself.",
    ]


def test_the_reported_numbers_are_those_of_the_server() -> None:
    options = parse_server_options("--timeout 1 --keep-alive 1 --graceful-timeout 1")
    timeout, keep_alive, graceful = option_reports("x", options)
    assert f" {STUCK_LIMIT_S} s " in timeout
    assert f" {KEEP_ALIVE_S} s." in keep_alive
    assert f" {GRACE_S - UNDO_S} s " in graceful
