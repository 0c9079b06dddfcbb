"""What must never stand in a log: keys, passwords and signatures are taken out of every line, wherever they come from.

The server's own lines don't hold any; an exception's text, a driver's message or a client's path might.
"""

import re
from collections.abc import Iterable

SHORTEST = 4
"""Shorter secrets can't be told from ordinary text."""

_PATTERNS = (
    (re.compile(r"(://[^\s/@:]{0,64}:)[^\s@]{1,256}@"), r"\1***@"),
    (re.compile(r"(?i)\b((?:basic|bearer)\s+)[\w+/=.~-]{6,}"), r"\1***"),
    (re.compile(r"(?i)([?&](?:x-amz-(?:signature|credential|security-token)|signature|token)=)[^\s&\"']+"), r"\1***"),
)
"""A URL's password, an Authorization header's value, and what makes a presigned URL one. Bounded: a text that a client
makes up of nothing but beginnings would otherwise be searched to its end from each of them."""
_secrets: re.Pattern[str] | None = None


def hide(secrets: Iterable[str]) -> None:
    """Have masked() take out these values as well, where they stand as words of their own."""
    global _secrets
    longest_first = sorted({one for one in secrets if len(one) >= SHORTEST}, key=len, reverse=True)
    _secrets = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)") if longest_first else None


def masked(text: str) -> str:
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return _secrets.sub("***", text) if _secrets else text
