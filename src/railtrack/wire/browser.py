"""What browsers get instead of a plain 401: the login page, and never a password dialog.

The login page is in api/account/.
"""

from urllib.parse import quote

from railtrack.errors import ApiError
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse, Header, error_response

CHALLENGE: Header = (b"www-authenticate", b'Basic realm="mlflow"')
"""MLflow's. Some clients send user name and password only after it."""
LOGIN_PATH = "/login"
NEXT_LIMIT = 2000
"""Bytes of a path that the login page returns to."""


def unauthenticated_response(http: HttpRequest, error: ApiError, prefix: str) -> BytesResponse:
    """Return the 401, or for a page that a browser opens the redirect to the login page."""
    if is_navigation(http):
        return redirect(prefix + LOGIN_PATH + _next_query(http, prefix))
    response = error_response(error)
    if not is_browser(http):
        response.headers += (CHALLENGE,)
    return response


def redirect(location: str) -> BytesResponse:
    return BytesResponse(
        b"", "text/plain; charset=utf-8", 303, ((b"location", location.encode()), (b"cache-control", b"no-store"))
    )


def is_browser(http: HttpRequest) -> bool:
    """Return whether a browser sends this, in which a Basic challenge would open a dialog."""
    return bool(http.header(b"sec-fetch-mode")) or http.header(b"user-agent").startswith("Mozilla/")


def is_navigation(http: HttpRequest) -> bool:
    """Return whether a browser opens this as a page. On plain HTTP it sends no Sec-Fetch-Mode."""
    if http.method not in ("GET", "HEAD") or "text/html" not in http.header(b"accept"):
        return False
    return http.header(b"sec-fetch-mode") in ("navigate", "") and is_browser(http)


def _next_query(http: HttpRequest, prefix: str) -> str:
    """Return the query by which the login page knows where to return to, "" for the index page."""
    path = http.raw_path + (b"?" + http.raw_query if http.raw_query else b"")
    if path == prefix.encode() + b"/" or len(path) > NEXT_LIMIT:
        return ""
    return "?next=" + quote(path, safe="/")
