"""The requests to an OpenID Connect provider: its metadata and keys, and the exchange of a code for an ID token.

All have a size limit and a timeout; the number at a time is limited as well. Errors contain no secret.
"""

import asyncio
import json
import re
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from railtrack.auth.oidc.attempt import LoginAttempt
from railtrack.auth.oidc.id_token import Claims, InvalidIdToken, UnknownKey, validate_id_token
from railtrack.config.login_settings import OidcSettings
from railtrack.config.parsers import is_loopback
from railtrack.http_client.client import HttpClient, Origin, TransferError

T = TypeVar("T")

LOGIN_PATH = "/login/oidc"
CALLBACK_PATH = f"{LOGIN_PATH}/callback"
"""The provider returns the browser here, after the login and after its logout."""
TIMEOUT_S = 10.0
"""For one request, and for a login with all of its requests twice as long."""
RESPONSE_LIMIT = 256 * 1024
KEYS_LIMIT = 100
METADATA_MAX_AGE_S = 3600.0
RETRY_AFTER_S = 2.0
"""After a failure, logins fail at once for so long, instead of each with a request."""
LOGINS_AT_ONCE = 8
LOGINS_WAITING_LIMIT = 64
DISCOVERY_PATH = "/.well-known/openid-configuration"
ERROR_CODE = re.compile(r"[a-z_]{1,64}")
ACCESS_TOKEN = re.compile(r"[!-~]+")
"""Anything else would not be one header."""


class ProviderError(Exception):
    """The provider is not reachable, or its response is not usable. `status`: of the response to the browser."""

    def __init__(self, message: str, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


class LoginFailed(Exception):
    """This login is not valid, whatever the provider does. The reason is for the log."""


class Metadata(msgspec.Struct, frozen=True):
    """What the discovery document contains of interest."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None


class _Tokens(msgspec.Struct):
    id_token: str
    access_token: str = ""


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


class Login(msgspec.Struct, frozen=True):
    """A successful login: the user's claims, and the ID token, which the logout sends to the provider."""

    claims: Claims
    id_token: str


class Provider:
    """The provider of the settings. Each worker has one, which requests nothing before the first login."""

    def __init__(self, settings: OidcSettings) -> None:
        self.settings = settings
        self._metadata = _Cached(self._fetch_metadata)
        self._keys = _Cached(self._fetch_keys)
        self._logins = asyncio.Semaphore(LOGINS_AT_ONCE)
        self._waiting = 0

    async def metadata(self) -> Metadata:
        """Return the discovery document, fetched at most once an hour. Raise ProviderError."""
        return await self._metadata.get()

    async def authorization_url(self, attempt: LoginAttempt, redirect_uri: str, *, is_fresh: bool) -> str:
        """Return where the browser logs in. `is_fresh`: the provider shall ask for the password again."""
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": self.settings.scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
            **({"prompt": "login"} if is_fresh else {}),
        }
        return _with_query((await self.metadata()).authorization_endpoint, query)

    async def logout_url(self, id_token: str, redirect_uri: str) -> str:
        """Return where the browser ends the session at the provider, "" if it does not offer that."""
        try:
            endpoint = (await self.metadata()).end_session_endpoint
        except ProviderError:
            return ""  # the logout here has happened anyway
        if not endpoint:
            return ""
        query = {"client_id": self.settings.client_id, "post_logout_redirect_uri": redirect_uri}
        return _with_query(endpoint, query | ({"id_token_hint": id_token} if id_token else {}))

    async def log_in(self, code: str, attempt: LoginAttempt, redirect_uri: str, needed_claims: list[str]) -> Login:
        """Exchange the code, and return who has logged in. Raise LoginFailed or ProviderError.

        `needed_claims`: if one is not in the ID token, the provider is asked for it. Of nested claims, the outermost.
        """
        if self._waiting >= LOGINS_WAITING_LIMIT:
            raise ProviderError("Too many logins at the same time. Please retry.", 503)
        self._waiting += 1
        try:
            async with asyncio.timeout(2 * TIMEOUT_S), self._logins:
                return await self._log_in(code, attempt, redirect_uri, needed_claims)
        except TimeoutError:
            raise ProviderError("The login took too long: the provider is slow, or many log in.", 503) from None
        finally:
            self._waiting -= 1

    async def _log_in(self, code: str, attempt: LoginAttempt, redirect_uri: str, needed_claims: list[str]) -> Login:
        metadata = await self.metadata()
        tokens = await self._exchange(metadata, code, attempt, redirect_uri)
        claims = await self._validate(metadata, tokens.id_token, attempt.nonce)
        is_complete = all(name in claims for name in needed_claims)
        if not is_complete and metadata.userinfo_endpoint and ACCESS_TOKEN.fullmatch(tokens.access_token):
            more = await self._userinfo(metadata.userinfo_endpoint, tokens.access_token)
            if more.get("sub") != claims["sub"]:
                raise LoginFailed("the user information is of another subject than the ID token")
            claims = {**more, **claims}
        return Login(claims, tokens.id_token)

    async def _exchange(self, metadata: Metadata, code: str, attempt: LoginAttempt, redirect_uri: str) -> _Tokens:
        settings = self.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": attempt.verifier,
        }
        headers = {"content-type": "application/x-www-form-urlencoded"}
        methods = metadata.token_endpoint_auth_methods_supported or ["client_secret_basic"]
        if settings.client_secret and "client_secret_basic" in methods:
            login = f"{quote(settings.client_id, safe='')}:{quote(settings.client_secret, safe='')}"
            headers["authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        else:
            form["client_id"] = settings.client_id
            if settings.client_secret:
                form["client_secret"] = settings.client_secret
        status, body = await _request("POST", metadata.token_endpoint, headers, urlencode(form).encode())
        if status != 200:
            error = _error_code(body)
            if error == "invalid_grant":
                raise LoginFailed("the provider did not accept the code, which is valid once and for a short time")
            raise ProviderError(f"The provider's token endpoint responded with {status} {error}".rstrip() + ".")
        return _decode(body, _Tokens, metadata.token_endpoint)

    async def _validate(self, metadata: Metadata, id_token: str, nonce: str) -> Claims:
        """Return the claims of the ID token. If no key verifies it, fetch the keys again, once for each login."""
        began = time.monotonic()
        issuer, client_id = metadata.issuer, self.settings.client_id
        try:
            try:
                keys = await self._keys.get()
                return validate_id_token(id_token, keys, issuer=issuer, client_id=client_id, nonce=nonce)
            except UnknownKey:
                keys = await self._keys.get(not_before=began)
                return validate_id_token(id_token, keys, issuer=issuer, client_id=client_id, nonce=nonce)
        except InvalidIdToken as error:
            raise LoginFailed(f"the ID token is invalid: {error}") from None

    async def _userinfo(self, url: str, access_token: str) -> Claims:
        status, body = await _request("GET", url, {"authorization": f"Bearer {access_token}"})
        if status != 200:
            raise ProviderError(f"The provider's user information endpoint responded with {status}.")
        return _decode(body, dict, url)

    async def _fetch_metadata(self) -> Metadata:
        issuer = self.settings.issuer
        url = issuer.rstrip("/") + DISCOVERY_PATH
        status, body = await _request("GET", url)
        if status != 200:
            raise ProviderError(f"{url} responded with {status}. Check RAILTRACK_OIDC_ISSUER.")
        metadata = _decode(body, Metadata, url)
        if metadata.issuer.rstrip("/") != issuer.rstrip("/"):
            raise ProviderError(
                f"{url} is of the issuer {metadata.issuer[:200]!r}. Set RAILTRACK_OIDC_ISSUER to that, if it is yours."
            )
        for endpoint in (
            metadata.authorization_endpoint,
            metadata.token_endpoint,
            metadata.jwks_uri,
            metadata.userinfo_endpoint,
            metadata.end_session_endpoint,
        ):
            if endpoint and not _is_allowed(endpoint):
                raise ProviderError(f"{url} names the endpoint {endpoint[:200]!r}, which is not a https:// URL.")
        return metadata

    async def _fetch_keys(self) -> list[dict[str, Any]]:
        url = (await self.metadata()).jwks_uri
        status, body = await _request("GET", url)
        if status != 200:
            raise ProviderError(f"{url} responded with {status}.")
        keys = _decode(body, _KeySet, url).keys
        if len(keys) > KEYS_LIMIT:
            raise ProviderError(f"{url} has more than {KEYS_LIMIT} keys.")
        return keys


class _Cached(Generic[T]):
    """A document that is fetched when it is too old, by one request for all that wait for it."""

    def __init__(self, fetch: Callable[[], Awaitable[T]]) -> None:
        self._fetch = fetch
        self._value: T | None = None
        self._fetched_at = self._failed_at = float("-inf")
        self._error: ProviderError | None = None
        self._lock = asyncio.Lock()

    async def get(self, *, not_before: float = float("-inf")) -> T:
        """Return the document as of a time after `not_before`, in seconds of time.monotonic()."""
        async with self._lock:
            now = time.monotonic()
            if self._value is not None and self._fetched_at > max(not_before, now - METADATA_MAX_AGE_S):
                return self._value
            if self._error and self._failed_at > now - RETRY_AFTER_S:
                raise self._error
            try:
                self._value = await self._fetch()
            except ProviderError as error:
                self._error, self._failed_at = error, time.monotonic()
                raise
            self._error, self._fetched_at = None, now
            return self._value


async def _request(method: str, url: str, headers: Mapping[str, str] = {}, body: bytes = b"") -> tuple[int, bytes]:
    """Return status and body. Redirects are not followed. Raise ProviderError."""
    origin, parts = Origin.of(url), urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    client = HttpClient(origin)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            sent = {"host": origin.netloc, "accept": "application/json", "connection": "close", **headers}
            response = await client.send(method, target, sent, body)
            return response.status, await response.read(RESPONSE_LIMIT)
    except TransferError as error:
        raise ProviderError(f"The request to the provider at {origin.url} failed: {error}.", 503) from None
    except TimeoutError:
        raise ProviderError(f"The provider did not respond at {origin.url} within {TIMEOUT_S:g} s.", 503) from None
    finally:
        client.close()


def _decode(body: bytes, kind: type[T], url: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ProviderError(f"The response of {url} is not what OpenID Connect prescribes.") from None


def _error_code(body: bytes) -> str:
    """Return the code of an OAuth error, such as `invalid_client`, "" if there is none."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return error if isinstance(error, str) and ERROR_CODE.fullmatch(error) else ""


def _with_query(url: str, query: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query, quote_via=quote)}"


def _is_allowed(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_valid = bool(parts.hostname) and parts.port != 0 and url.isascii() and url.isprintable() and " " not in url
    except ValueError:
        return False
    return is_valid and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")))
