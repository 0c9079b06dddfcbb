"""What browsers get instead of a plain 401: the login page, and never a password dialog.

The login and account pages are in api/account/.
"""

from urllib.parse import quote

from railtrack.errors import ApiError
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse, Header, error_response

CHALLENGE: Header = (b"www-authenticate", b'Basic realm="mlflow"')
"""MLflow's. Some clients send user name and password only after it."""
FORM_TYPE = "application/x-www-form-urlencoded"
LOGIN_PATH = "/login"
ACCOUNT_PATH = "/account"
NEXT_LIMIT = 2000
"""Bytes of a path that the login page returns to."""


def unauthenticated_response(http: HttpRequest, error: ApiError, prefix: str) -> BytesResponse:
    """Return the 401, or for a page that a browser opens the redirect to the login page."""
    if is_navigation(http):
        return redirect(prefix + LOGIN_PATH + _next_query(http, prefix), error.headers)
    response = error_response(error)
    if not is_browser(http):
        response.headers += (CHALLENGE,)
    return response


def redirect(location: str, headers: tuple[Header, ...] = ()) -> BytesResponse:
    """Return a redirect that the browser follows with GET, and does not cache."""
    headers = ((b"location", location.encode()), (b"cache-control", b"no-store"), *headers)
    return BytesResponse(b"", "text/plain; charset=utf-8", 303, headers)


def is_browser(http: HttpRequest) -> bool:
    """Return whether a browser sends this, in which a Basic challenge would open a dialog."""
    return bool(http.header(b"sec-fetch-mode")) or http.header(b"user-agent").startswith("Mozilla/")


def is_navigation(http: HttpRequest) -> bool:
    """Return whether a browser opens this as a page, or submits a form. On plain HTTP it sends no Sec-Fetch-Mode."""
    is_form = http.header(b"content-type").startswith(FORM_TYPE)
    if not (http.method in ("GET", "HEAD") or is_form) or "text/html" not in http.header(b"accept"):
        return False
    return http.header(b"sec-fetch-mode") in ("navigate", "") and is_browser(http)


def _next_query(http: HttpRequest, prefix: str) -> str:
    """Return the query by which the login page knows where to return to, "" for the index page and for a form."""
    path = b"/" + http.raw_path.lstrip(b"/") + (b"?" + http.raw_query if http.raw_query else b"")
    if path == prefix.encode() + b"/" or len(path) > NEXT_LIMIT or http.method == "POST":
        return ""
    return "?next=" + quote(path, safe="/")
