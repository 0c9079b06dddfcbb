"""Read a file of variables, as `mlflow --env-file` does."""

import re
from collections.abc import MutableMapping
from pathlib import Path

from railtrack.errors import StartError, describe_os_error

_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][\w.]*)\s*=\s*
        (?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<plain>[^#]*?(?:\S\#[^#]*?)*?))
        \s*(?:(?<=\s)\#.*)?""",
    re.VERBOSE,
)
_REFERENCE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def load_env_file(path: str, environ: MutableMapping[str, str]) -> None:
    """Add the variables of the file to `environ`, whose own win. Raise StartError if it cannot be read.

    A line is NAME=value, with optional quotes, and a comment after ` #`. `${NAME}` stands for another variable.
    """
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = describe_os_error(error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise StartError(f"--env-file: cannot read the file {path!r}: {reason}.", "Name a readable file.") from None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise StartError(f"--env-file: line {number} of {path!r} is not NAME=value.", "Correct the line.")
        value = match["single"] or match["double"] or match["plain"] or ""
        if match["single"] is None:
            value = _REFERENCE.sub(lambda found: environ.get(found[1]) or found[2] or "", value)
        environ.setdefault(match["name"], value)
