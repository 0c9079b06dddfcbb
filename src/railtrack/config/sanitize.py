"""What people and platforms leave in a setting's text: blanks and quotes around it, references that nobody resolved,
placeholders of a guide, addresses of Kubernetes' services. config/settings.py asks; no setting is named in here.
"""

import re

_RAILWAY = re.compile(r"\$\{\{.*?\}\}")
_WHOLE_REFERENCE = re.compile(r"\$\{\w+\}|\$\(\w+\)|\{\{.*\}\}")
"""Of a shell and Docker Compose, of Kubernetes, of templates: only where the whole text is one, for a password may
hold anything."""
_PLACEHOLDER = re.compile(r"<[^<>]+>")
_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://[^/]+:\d+")


def cleaned(text: str) -> str:
    """Without blanks and line ends around it, and without the quotes that `docker run --env-file` keeps."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].strip()
    return text


def unresolved(text: str) -> str | None:
    """Why this text is no value yet, None when it may be one. Shows a reference or placeholder, nothing beside it."""
    if found := _RAILWAY.search(text) or _WHOLE_REFERENCE.fullmatch(text):
        return (
            f"the reference {found[0]} was not resolved. Check its spelling, and that the service or variable that it "
            "names is there, in the same project and environment."
        )
    if found := _PLACEHOLDER.fullmatch(text):
        return f"{found[0]} is a placeholder. Put your own value in its place."
    return None


def is_service_link(text: str) -> bool:
    """Kubernetes sets NAME_PORT to such an address in every pod beside a Service called `name`."""
    return bool(_SERVICE_LINK.fullmatch(text))
