"""The options of uvicorn, gunicorn and waitress in `--uvicorn-opts` and its like.

Some stand for a setting here, the others are reported.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from railtrack.config.parsers import InvalidValue


class ServerOption(NamedTuple):
    """An option as it was written, `--timeout` or `-t`; `value` is "" for a switch."""

    name: str
    value: str


class ImpliedValue(NamedTuple):
    """The value of a setting that an option stands for."""

    source: str
    text: str


class _Meaning(NamedTuple):
    """The setting that an option stands for; `texts`: its value for values of the option that are written differently.

    `text`: the value for a switch, or for whatever the option's value is.
    """

    path: str
    texts: Mapping[str, str] = {}
    text: str = ""


_CLIENT_CERTIFICATES = {"0": "off", "1": "optional", "2": "required"}
_LEVELS = {"critical": "error", "trace": "debug"}
_MEANINGS = {
    "--ssl-certfile": _Meaning("tls.cert_file"),
    "--certfile": _Meaning("tls.cert_file"),
    "--ssl-keyfile": _Meaning("tls.key_file"),
    "--keyfile": _Meaning("tls.key_file"),
    "--ssl-keyfile-password": _Meaning("tls.key_password"),
    "--ssl-ca-certs": _Meaning("tls.client_ca_file"),
    "--ca-certs": _Meaning("tls.client_ca_file"),
    "--ssl-cert-reqs": _Meaning("tls.client_certificates", _CLIENT_CERTIFICATES),
    "--cert-reqs": _Meaning("tls.client_certificates", _CLIENT_CERTIFICATES),
    "--ssl-ciphers": _Meaning("tls.ciphers"),
    "--ciphers": _Meaning("tls.ciphers"),
    "--workers": _Meaning("server.workers"),
    "-w": _Meaning("server.workers"),
    "--threads": _Meaning("server.threads"),
    "--log-level": _Meaning("logs.level", _LEVELS),
    "--access-log": _Meaning("logs.access_log", text="on"),
    "--no-access-log": _Meaning("logs.access_log", text="off"),
    "--access-logfile": _Meaning("logs.access_log", text="on"),
    "--forwarded-allow-ips": _Meaning("server.trusted_proxies"),
    "--trusted-proxy": _Meaning("server.trusted_proxies"),
    "--no-proxy-headers": _Meaning("server.trusted_proxies", text="none"),
}
_SATISFIED = ("--proxy-headers", "--no-server-header", "--preload", "--lifespan", "--no-use-colors", "--date-header")
"""What these ask for is so anyway."""

# The numbers are constants of http_server/: tests/config/test_server_options.py compares.
_EFFECTS = {
    ("--timeout", "-t", "--channel-timeout", "--timeout-worker-healthcheck"): (
        "requests have no time limit, and a worker that hangs for 60 s is replaced."
    ),
    ("--timeout-keep-alive", "--keep-alive"): "idle connections are kept for 65 s.",
    ("--graceful-timeout", "--timeout-graceful-shutdown"): (
        "at the end of the server, open requests have 25 s to finish."
    ),
    ("--host", "--port", "--bind", "-b", "--listen", "--uds", "--fd", "--unix-socket"): (
        "--host and --port name the address to listen on."
    ),
    ("--worker-class", "-k", "--loop", "--http", "--ws", "--interface", "--asgi-loop"): (
        "each worker serves all of its requests in one event loop."
    ),
    ("--max-requests", "--max-requests-jitter", "--limit-max-requests", "--limit-max-requests-jitter"): (
        "workers are not replaced after a number of requests."
    ),
    ("--backlog", "--limit-concurrency", "--worker-connections", "--connection-limit"): (
        "the limits of docs/sizing.md apply."
    ),
    ("--reload", "--reload-dir", "--reload-include", "--reload-exclude", "--reload-delay"): "code is not reloaded.",
    ("--log-config", "--log-file", "--error-logfile", "--access-logformat", "--use-colors", "--capture-output"): (
        "logs go to standard error. RAILTRACK_LOG_FORMAT and RAILTRACK_LOG_LEVEL configure them."
    ),
    ("--env-file",): "give it before the command: `railtrack --env-file FILE server`.",
    ("--root-path", "--url-prefix"): "--static-prefix names the prefix of all paths.",
    ("--ssl-version",): "TLS 1.2 and 1.3 are accepted.",
}
_EFFECT_OF_OTHERS = "Railtrack sets up its processes and connections itself."


def parse_server_options(text: str) -> tuple[ServerOption, ...]:
    """Split a command line into its options: `--name value`, `--name=value`, `-n value` or `-nvalue`.

    An option takes the next argument unless that is an option, too.
    """
    try:
        arguments = shlex.split(text)
    except ValueError:
        raise InvalidValue("command line", "Close its quotation marks.") from None
    options: list[ServerOption] = []
    for argument in arguments:
        if argument.startswith("--") and len(argument) > 2:
            name, _, value = argument.partition("=")
            options.append(ServerOption(name, value))
        elif argument.startswith("-") and len(argument) > 1 and not argument[1].isdigit():
            options.append(ServerOption(argument[:2], argument[2:].removeprefix("=")))
        elif options and not options[-1].value:
            options[-1] = options[-1]._replace(value=argument)
        else:
            raise InvalidValue("command line", "Start it with an option, such as --workers.")
    return tuple(options)


def implied_values(source: str, options: Sequence[ServerOption]) -> Iterator[tuple[str, ImpliedValue]]:
    """Yield the path and value of each setting that an option stands for.

    `source`: the flag or variable of `options`.
    """
    for option in options:
        if meaning := _MEANINGS.get(option.name):
            value = option.value.lower() if meaning.path == "logs.level" else option.value
            yield (
                meaning.path,
                ImpliedValue(f"{option.name} of {source}", meaning.text or meaning.texts.get(value, value)),
            )


def option_reports(source: str, options: Sequence[ServerOption]) -> Iterator[str]:
    """Yield a line for each option without effect."""
    for option in options:
        if option.name in _MEANINGS or option.name in _SATISFIED:
            continue
        if option.name == "--error-logfile" and option.value == "-":
            continue
        effect = next((text for names, text in _EFFECTS.items() if option.name in names), _EFFECT_OF_OTHERS)
        yield f"{option.name} of {source} has no effect: {effect}"
