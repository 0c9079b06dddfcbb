"""The body of an HTML form, as browsers send it."""

from urllib.parse import parse_qsl

from railtrack.errors import invalid
from railtrack.wire.browser import FORM_TYPE
from railtrack.wire.request import HttpRequest

FORM_LIMIT = 16 * 1024
"""Bytes of a form."""
FIELDS_LIMIT = 20


async def form_fields(http: HttpRequest) -> dict[str, str]:
    """Return the fields, of a repeated one the first. Raise INVALID_PARAMETER_VALUE for anything but a small form."""
    body = await http.body(FORM_LIMIT)
    if http.header(b"content-type").split(";")[0].strip().lower() != FORM_TYPE:
        raise invalid(f"Bad Request. Content-Type must be {FORM_TYPE}.")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_LIMIT, errors="strict")
    except ValueError:
        raise invalid(f"The form is not valid, or it has more than {FIELDS_LIMIT} fields.") from None
    fields = dict(reversed(pairs))
    if any("\0" in value for value in fields.values()):
        raise invalid("The form contains a NUL character.")
    return fields
