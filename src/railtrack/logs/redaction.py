"""Redact keys, passwords and signatures in log lines.

The server's own messages contain none; an exception, a driver's message or a client's path might.
"""

import re
from collections.abc import Iterable

MIN_SECRET_LENGTH = 4
"""Shorter secrets cannot be distinguished from ordinary text."""

_PATTERNS = (
    (re.compile(r"(://[^\s/@:]{0,64}:)[^\s@]{1,256}@"), r"\1***@"),
    (re.compile(r"(?i)([?&](?:ssl)?(?:password|passwd|pwd)=)[^\s&\"']{1,256}"), r"\1***"),
    (re.compile(r"(?i)\b((?:basic|bearer)\s+)[\w+/=.~-]{6,}"), r"\1***"),
    (re.compile(r"\b(rtk_)[0-9A-Za-z]{6,64}"), r"\1***"),
    (re.compile(r"(?i)([?&](?:x-amz-(?:signature|credential|security-token)|signature|token)=)[^\s&\"']+"), r"\1***"),
)
"""The password in a URL or its query, the value of an Authorization header, an API token, and the signature of a
presigned URL.

The quantifiers are bounded: otherwise a text that repeats the start of a match takes quadratic time."""
_secrets: re.Pattern[str] | None = None


def redact_secrets(secrets: Iterable[str]) -> None:
    """Make redacted() replace these values, too, where they are whole words."""
    global _secrets
    longest_first = sorted({one for one in secrets if len(one) >= MIN_SECRET_LENGTH}, key=len, reverse=True)
    _secrets = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)") if longest_first else None


def redacted(text: str) -> str:
    """Return the text with *** in place of secrets."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return _secrets.sub("***", text) if _secrets else text
