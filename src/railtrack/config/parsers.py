"""Parsers for the text of a setting, one for each kind of value. Each raises InvalidValue for other texts.

Which setting uses which parser: settings.py.
"""

import os
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

FERNET_KEY_BYTES = 32
TOKEN_LENGTH = 16
LABEL_LIMIT = 60
RESERVED_HEADERS = frozenset(
    (
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "forwarded",
        "host",
        "origin",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
    )
)
"""Headers that clients or proxies send for another purpose than to name the user."""
WIDEST_NETWORK = 8
"""Bits that the addresses of proxies have in common at least, if their header logs users in."""
MAPPED_ADDRESSES = IPv6Network("::ffff:0:0/96")
"""All IPv4 addresses, as a socket for both versions has them."""


class InvalidValue(ValueError):
    """A text that is not a value of the expected kind, with advice on what to use instead."""

    def __init__(self, kind: str, advice: str) -> None:
        super().__init__(f"Invalid {kind}. {advice}")
        self.kind = kind
        self.advice = advice


def text(value: str) -> str:
    return value


def header_text(value: str) -> str:
    """Return a text that can be sent as the value of an HTTP header."""
    if not (value.isascii() and value.isprintable()):
        raise InvalidValue("text", "Use printable ASCII characters.")
    return value.strip()


def artifact_location(value: str) -> str:
    """Return the URI or path of an artifact location. `s3a:`, Hadoop's scheme, becomes `s3:`, which clients know."""
    return f"s3://{value[6:]}" if value[:6].lower() == "s3a://" else value


def artifact_locations(value: str) -> tuple[str, ...]:
    return tuple(map(artifact_location, names(value)))


def number(kind: str, minimum: int, maximum: int) -> Callable[[str], int]:
    """Return a parser for whole numbers in a range."""

    def parse(value: str) -> int:
        # Nine digits are enough for every range, and int() of a very long text is slow.
        if not value.isascii() or not value.isdigit() or not minimum <= int(value[:9]) <= maximum:
            raise InvalidValue(kind, f"Use a number from {minimum} to {maximum}.")
        return int(value)

    return parse


port = number("port", 1, 65535)
workers = number("number of workers", 1, 64)
threads = number("number of threads", 1, 64)
retries = number("number of retries", 0, 100)
fields = number("number of fields", 0, 1_000_000)
wait = number("number of seconds", 0, 3600)
replica_lag = number("number of seconds", 1, 60)
request_timeout = number("number of seconds", 1, 300)


megabytes = number("number of megabytes", 40, 100_000)


def optional_megabytes(value: str) -> int | None:
    return megabytes(value) if value else None


def optional_port(value: str) -> int | None:
    return port(value) if value else None


def names(value: str) -> tuple[str, ...]:
    """Split a list at its commas, without empty items."""
    return tuple(name.strip() for name in value.split(",") if name.strip())


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a parser that accepts these texts only."""

    def parse(value: str) -> str:
        if value not in choices:
            raise InvalidValue("value", f"Use one of {', '.join(choices)}.")
        return value

    return parse


auto_on_off = one_of("auto", "on", "off")
permission = one_of("READ", "USE", "EDIT", "MANAGE", "NO_PERMISSIONS")


def auth_mode(value: str) -> str:
    """Parse `auto`, `on` and `off`, and MLflow's name of the application that has a login."""
    if value not in ("auto", "on", "off", "basic-auth"):
        advice = (
            "Use one of auto, on, off, basic-auth. Other applications of MLflow, such as oidc-auth, do not run here."
        )
        raise InvalidValue("value", advice)
    return "on" if value == "basic-auth" else value


def on_off(value: str) -> bool:
    return one_of("on", "off")(value) == "on"


def true_or_false(value: str) -> bool:
    """Parse a boolean as MLflow does in its own variables."""
    return one_of("true", "1", "false", "0")(value.lower()) in ("true", "1")


def boolean(value: str) -> bool:
    """Parse a boolean in the spellings of MLflow's command line."""
    spellings = {"true": ("true", "1", "yes", "on", "t", "y"), "false": ("false", "0", "no", "off", "f", "n")}
    return one_of(*spellings["true"], *spellings["false"])(value.lower()) in spellings["true"]


def exactly_true(value: str) -> bool:
    """Parse a boolean that MLflow compares with the text `true`: other spellings would leave a protection on there."""
    return one_of("true", "false")(value) == "true"


def hosts(value: str) -> tuple[str, ...]:
    """Parse hosts with optional ports and wildcards."""
    hosts = names(value)
    for host in hosts:
        if re.search(r"[/@\s]", host):
            advice = f"Replace {host!r} by a name or address, such as ml.example.com or 10.0.0.5:5000."
            raise InvalidValue("host", advice)
    return hosts


def origins(value: str) -> tuple[str, ...]:
    """Parse origins with optional wildcards. Browsers send an origin without a slash at its end."""
    origins = tuple(origin.rstrip("/") for origin in names(value))
    for origin in origins:
        if "*" not in origin and origin != "null" and not re.fullmatch(r"[a-zA-Z][\w+.-]*://[^/\s]+", origin, re.ASCII):
            raise InvalidValue("origin", f"Replace {origin!r} by scheme and host, such as https://app.example.com.")
    return origins


def frame_options(value: str) -> str:
    if value.upper() not in ("SAMEORIGIN", "DENY", "NONE"):
        raise InvalidValue("value", "Use SAMEORIGIN, DENY, or NONE to let any page show the web interface in a frame.")
    return value.upper()


def fernet_key(value: str) -> str:
    try:
        is_valid = not value or len(urlsafe_b64decode(value)) == FERNET_KEY_BYTES
    except ValueError:
        is_valid = False
    if not is_valid:
        raise InvalidValue("key", f"Use {FERNET_KEY_BYTES} bytes in URL-safe base64.")
    return value


def token(value: str) -> str:
    """Parse a secret that an Authorization header can send."""
    if value and not re.fullmatch(rf"[!-~]{{{TOKEN_LENGTH},}}", value, re.ASCII):
        raise InvalidValue("token", f"Use at least {TOKEN_LENGTH} letters, digits and punctuation marks.")
    return value


def web_schemes(value: str) -> tuple[str, ...]:
    schemes = names(value)
    if not schemes or set(schemes) - {"http", "https"}:
        raise InvalidValue("URL scheme", "Use https, http or both, separated by a comma.")
    return schemes


def proxies(value: str) -> tuple[str, ...]:
    """Parse addresses and networks, `*` for all of them, and `none` for none."""
    proxies = names(value)
    for name in proxies:
        if name in ("*", "none"):
            continue
        try:
            ip_network(name, strict=False)
        except ValueError:
            advice = f"Replace {name!r} by an IP address or a network such as 10.0.0.0/8."
            raise InvalidValue("proxy", advice) from None
    return tuple(name for name in proxies if name != "none")


def named_proxies(value: str) -> tuple[str, ...]:
    """Parse addresses and networks, but not all of them: everyone could send the header."""
    named = proxies(value)
    for name in named:
        if name == "*" or _is_wide(ip_network(name, strict=False)):
            raise InvalidValue("proxy", f"Replace {name!r} by the address of the proxy: others could log in as anyone.")
    return named


def _is_wide(network: IPv4Network | IPv6Network) -> bool:
    if isinstance(network, IPv6Network) and network.overlaps(MAPPED_ADDRESSES):
        return network.prefixlen < MAPPED_ADDRESSES.prefixlen + WIDEST_NETWORK
    return network.prefixlen < WIDEST_NETWORK


def user_header(value: str) -> str:
    """Parse the name of a header, and return it in lower case."""
    name = value.lower()
    if value and not re.fullmatch(r"[a-z0-9-]+", name, re.ASCII):
        raise InvalidValue("header name", "Use letters, digits and hyphens, as in X-Forwarded-User.")
    if name in RESERVED_HEADERS:
        raise InvalidValue("header name", "It has another purpose. Use a header such as X-Forwarded-User.")
    return name


def prefix(value: str) -> str:
    if value and not re.fullmatch(r"(/[\w.~-]+)+", value, re.ASCII):
        raise InvalidValue("path prefix", "Start it with a slash and end it without one, as in /mlflow.")
    return value


def host(value: str) -> str:
    """Parse a host name or an address. It is resolved when the server listens on it."""
    if "://" in value or re.search(r"[\s/'\"<>,]", value):
        raise InvalidValue("host", "Use an address to listen on, such as 0.0.0.0.")
    if re.fullmatch(r"[^:]+:\d+", value):
        raise InvalidValue("host", "Use the address alone, and set the port in MLFLOW_PORT.")
    return value.strip("[]")


def endpoint(value: str) -> str:
    """Return the URL of a service, which has no path."""
    url = _service_url(value)
    origin = _origin(url)
    if url != origin:
        raise InvalidValue("URL", f"Set it to {origin}.")
    return url


PATH_OF_ENDPOINT = re.compile(r"(/[A-Za-z0-9._~%-]+)*")
ENDPOINTS_WITHOUT_PATH = (
    "amazonaws.com",
    "amazonaws.com.cn",
    "backblazeb2.com",
    "digitaloceanspaces.com",
    "r2.cloudflarestorage.com",
    "storage.googleapis.com",
    "storage.dev",
    "storage.railway.app",
    "storageapi.dev",
)
"""Stores whose consoles show URLs with the bucket as the path, which is no part of the endpoint."""


def s3_endpoint(value: str) -> str:
    """Return the URL of an S3-compatible store, which may have a path, without a trailing slash."""
    url = _service_url(value)
    if not url:
        return url
    origin = _origin(url)
    host = urlsplit(url).hostname or ""
    is_bucket = any(host == name or host.endswith(f".{name}") for name in ENDPOINTS_WITHOUT_PATH)
    if url != origin and (is_bucket or not PATH_OF_ENDPOINT.fullmatch(url.removeprefix(origin))):
        raise InvalidValue("URL", f"Set it to {origin}, and name the bucket in an artifact location, s3://bucket.")
    return url


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if url else ""


def _service_url(value: str) -> str:
    """Return the URL of a service without a trailing slash."""
    if not value:
        return value
    if "://" not in value:
        raise InvalidValue("URL", "Add the scheme, https:// or http://.")
    try:
        parts = urlsplit(value)
        is_port_valid = parts.port != 0
    except ValueError:
        raise InvalidValue("URL", "Check the host and the port, which is a number from 1 to 65535.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[@<>\s]", parts.netloc):
        raise InvalidValue("URL", "Use a URL without login, such as https://s3.eu-west-1.amazonaws.com.")
    if not is_port_valid:
        raise InvalidValue("URL", "Use a port from 1 to 65535.")
    return parts.geturl().rstrip("/")


def issuer(value: str) -> str:
    """Parse the URL of an identity provider. Its responses decide who logs in, so only TLS protects them."""
    return _url_of_path(value, "https://accounts.example.com") if value else ""


def redirect_uri(value: str) -> str:
    return _url_of_path(value, "https://mlflow.example.com/login/oidc/callback") if value else ""


def _url_of_path(value: str, example: str) -> str:
    try:
        parts = urlsplit(value)
        is_valid = parts.port != 0 and bool(parts.hostname)
    except ValueError:
        is_valid = False
    if not is_valid or parts.query or parts.fragment or re.search(r"[@<>\s\\]", value) or not value.isascii():
        raise InvalidValue("URL", f"Use a URL without login and query, such as {example}.")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise InvalidValue("URL", "Use https://. Without TLS, others on the way could log in as any user.")
    return value


def scopes(value: str) -> str:
    """Parse scopes in OAuth's form, with `openid` among them."""
    names = value.split()
    if "openid" not in names or not re.fullmatch(r"[!#-\[\]-~ ]+", " ".join(names), re.ASCII):
        raise InvalidValue("list of scopes", "Separate them by blanks, and include openid.")
    return " ".join(names)


def claim(value: str) -> str:
    if not re.fullmatch(r"[!-~]{1,200}", value, re.ASCII):
        raise InvalidValue("claim", "Use the name of a claim, such as preferred_username.")
    return value


def label(value: str) -> str:
    if len(value) > LABEL_LIMIT or not value.isprintable():
        raise InvalidValue("label", f"Use up to {LABEL_LIMIT} printable characters.")
    return value


def domains(value: str) -> tuple[str, ...]:
    """Parse domains of e-mail addresses, in lower case."""
    domains = tuple(name.lower().removeprefix("@") for name in names(value))
    for domain in domains:
        if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", domain, re.ASCII):
            raise InvalidValue("domain", f"Replace {domain!r} by a domain such as example.com.")
    return domains


def group_roles(value: str) -> tuple[tuple[str, str], ...]:
    """Parse `group=role` pairs. A group may contain `=`, a role may not; several groups may have the same role."""
    roles: dict[str, str] = {}
    for pair in names(value):
        group, separator, role = (part.strip() for part in pair.rpartition("="))
        if not separator or not group or not role or roles.get(group, role) != role:
            raise InvalidValue("role of a group", "Use pairs of group and role, one for each group: ml-team=trainer.")
        roles[group] = role
    return tuple(roles.items())


def pattern(value: str) -> re.Pattern[str] | None:
    try:
        return re.compile(value) if value else None
    except (re.error, RecursionError, OverflowError):
        raise InvalidValue("regular expression", "Use the syntax of Python's module re.") from None


def readable(value: str) -> str:
    if value and not os.access(value, os.R_OK):
        raise InvalidValue("file", "Use the path of a file that the server may read.")
    return value


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that listens on this address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
