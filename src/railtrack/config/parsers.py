"""What the text of a setting means, a function for each kind of value. Which settings there are: config/settings.py.

Each raises ValueError with what is wrong, put so that it follows the setting's name and text.
"""

import os
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

WORKERS_LIMIT = 64
THREADS_LIMIT = 64
FERNET_KEY_BYTES = 32


def text(value: str) -> str:
    return value


def port(value: str) -> int:
    return whole_number(value, 1, 65535)


def workers(value: str) -> int:
    return whole_number(value, 1, WORKERS_LIMIT)


def threads(value: str) -> int:
    return whole_number(value, 1, THREADS_LIMIT)


def seconds(value: str) -> int:
    return whole_number(value, 0, 3600)


def optional_port(value: str) -> int | None:
    return port(value) if value else None


def request_timeout(value: str) -> int:
    return whole_number(value, 1, 300)


def retries(value: str) -> int:
    return whole_number(value, 0, 100)


def names(value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


def one_of(*values: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in values:
            raise ValueError(f"is not one of {', '.join(values)}")
        return value

    return parse


auto_on_off = one_of("auto", "on", "off")


def on_off(value: str) -> bool:
    return one_of("on", "off")(value) == "on"


def true_or_false(value: str) -> bool:
    """As MLflow's own variables have it."""
    return one_of("true", "1", "false", "0")(value.lower()) in ("true", "1")


def fernet_key(value: str) -> str:
    try:
        length = len(urlsafe_b64decode(value))
    except ValueError:
        length = -1
    if value and length != FERNET_KEY_BYTES:
        raise ValueError(f"is not {FERNET_KEY_BYTES} bytes in URL-safe base64")
    return value


def web_schemes(value: str) -> tuple[str, ...]:
    given = names(value)
    if not given or set(given) - {"http", "https"}:
        raise ValueError("is not one or both of https, http")
    return given


def proxies(value: str) -> tuple[str, ...]:
    """Addresses and networks; `none` for none of them."""
    given = names(value)
    for name in given:
        if name in ("*", "none"):
            continue
        try:
            ip_network(name, strict=False)
        except ValueError:
            raise ValueError(f"has {name!r}, which is neither an address nor a network such as 10.0.0.0/8") from None
    return tuple(name for name in given if name != "none")


def prefix(value: str) -> str:
    if value and not re.fullmatch(r"(/[\w.~-]+)+", value, re.ASCII):
        raise ValueError("is not a path that begins with a slash and doesn't end with one, such as /mlflow")
    return value


def host(value: str) -> str:
    """A name or an address; what it stands for is found out when it is listened on."""
    if "://" in value or re.search(r"[\s/'\"<>,]", value):
        raise ValueError("is not an address to listen on, such as 0.0.0.0")
    if re.fullmatch(r"[^:]+:\d+", value):
        raise ValueError("is an address with a port; the port belongs into MLFLOW_PORT")
    return value.strip("[]")


def endpoint(value: str) -> str:
    """The URL without a slash at its end."""
    if not value:
        return value
    if "://" not in value:
        raise ValueError("has no scheme; put https:// (or http://) before it")
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[@<>\s]", parts.netloc):
        raise ValueError("is not a URL of a store, such as https://s3.eu-west-1.amazonaws.com")
    origin = f"{parts.scheme}://{parts.netloc}"
    if parts.port == 0:
        raise ValueError("has a port that is none")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"has more than a host and a port; set it to {origin}, the bucket belongs into s3://bucket")
    return origin


def readable(value: str) -> str:
    if value and not os.access(value, os.R_OK):
        raise ValueError("is not a file that can be read")
    return value


def whole_number(value: str, least: int, most: int) -> int:
    if not value.isascii() or not value.isdigit() or not least <= int(value[:9]) <= most:
        raise ValueError(f"is not a whole number from {least} to {most}")
    return int(value)


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
