"""Clean up what people and platforms leave in a setting's text: blanks, quotes, unresolved references, placeholders,
addresses of Kubernetes services.
"""

import re

_RAILWAY_REFERENCE = re.compile(r"\$\{\{.*?\}\}")
_WHOLE_REFERENCE = re.compile(r"\$\{\w+\}|\$\(\w+\)|\{\{.*\}\}")
"""References of shells, Docker Compose, Kubernetes and templates, matched against the whole text only: a password may
contain the same characters."""
_PLACEHOLDER = re.compile(r"<[^<>]+>")
_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://[^/]+:\d+")


def sanitized(text: str) -> str:
    """Return the text without blanks and line ends around it, nor the quotes that `docker run --env-file` keeps."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].strip()
    return text


def unresolved_reference(text: str) -> str | None:
    """Return the first reference that a platform should have replaced, None if there is none."""
    match = _RAILWAY_REFERENCE.search(text) or _WHOLE_REFERENCE.fullmatch(text)
    return match[0] if match else None


def is_placeholder(text: str) -> bool:
    """Return whether the text is a placeholder of a guide, such as <access key>."""
    return bool(_PLACEHOLDER.fullmatch(text))


def is_service_link(text: str) -> bool:
    """Return whether this is an address that Kubernetes puts into NAME_PORT of every pod beside a Service `name`."""
    return bool(_SERVICE_LINK.fullmatch(text))
