"""An OpenID Connect provider on loopback, which signs with its private keys and can be made to misbehave.

It checks what a provider has to: client, redirect URI, PKCE, and that a code is used once. Tokens are signed here,
so that tests can send any, independently of the library that the server uses.
"""

import contextlib
import hashlib
import hmac
import json
import secrets
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CLIENT_ID = "railtrack"
CLIENT_SECRET = "the-client-secret/with:signs"
EVE = {"sub": "subject-1", "email": "eve@example.com", "email_verified": True}


def b64(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def _number(value: int, size: int) -> str:
    return b64(value.to_bytes(size, "big"))


@cache
def _rsa_key(key_id: str) -> rsa.RSAPrivateKey:
    """Return the key of this id, always the same: to generate one takes a tenth of a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class RsaKey:
    algorithm = "RS256"

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        self._key = _rsa_key(key_id)

    @property
    def jwk(self) -> dict[str, str]:
        numbers = self._key.public_key().public_numbers()
        return {"kty": "RSA", "kid": self.key_id, "n": _number(numbers.n, 256), "e": "AQAB", "use": "sig"}

    @property
    def pem(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())


class EcKey:
    algorithm = "ES256"

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def jwk(self) -> dict[str, str]:
        numbers = self._key.public_key().public_numbers()
        return {
            "kty": "EC",
            "crv": "P-256",
            "kid": self.key_id,
            "x": _number(numbers.x, 32),
            "y": _number(numbers.y, 32),
        }

    def sign(self, data: bytes) -> bytes:
        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


Header = dict[str, Any]
Claims = dict[str, Any]


def signed(header: Header, claims: Claims, sign: Callable[[bytes], bytes]) -> str:
    content = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{content}.{b64(sign(content.encode()))}"


def unsigned(claims: Claims) -> str:
    return signed({"alg": "none"}, claims, lambda _: b"")


def signed_with_public_key(claims: Claims, key: RsaKey) -> str:
    """Return a token that a library accepts if it takes the public key for an HMAC secret."""
    return signed({"alg": "HS256", "kid": key.key_id}, claims, lambda data: hmac.digest(key.pem, data, "sha256"))


@dataclass
class Reply:
    """A response in place of the provider's own. `held`: wait for the event before it."""

    body: bytes = b""
    status: int = 200
    held: threading.Event | None = None


@dataclass
class _Grant:
    claims: Claims
    nonce: str
    challenge: str
    redirect_uri: str


@dataclass
class OidcProvider:
    url: str
    keys: list[Any] = field(default_factory=list)
    """The published ones. The first one signs."""
    user: Claims = field(
        default_factory=lambda: {"sub": "subject-1", "email": "eve@example.com", "email_verified": True}
    )
    """The claims of who logs in next."""
    more: Claims = field(default_factory=dict)
    """Claims that only the user information has."""
    changed: Claims = field(default_factory=dict)
    """Claims of the ID token in place of the right ones. None removes a claim."""
    make_token: Callable[[Claims], str] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    """Entries of the discovery document in place of the right ones."""
    replies: dict[str, Reply] = field(default_factory=dict)
    """By path."""
    requests: list[str] = field(default_factory=list)
    """Paths, in order."""
    logouts: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[dict[str, str]] = field(default_factory=list)
    _grants: dict[str, _Grant] = field(default_factory=dict)
    _access_tokens: dict[str, Claims] = field(default_factory=dict)

    def authorize(self, url: str) -> str:
        """Log the user in at the URL to which the server redirects. Return the URL to which the browser returns."""
        assert url.startswith(f"{self.url}/authorize?"), url
        query = single_values(urlsplit(url).query)
        self.authorizations.append(query)
        assert query["client_id"] == CLIENT_ID
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._grants[code] = _Grant(dict(self.user), query["nonce"], query["code_challenge"], query["redirect_uri"])
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state'], 'iss': self.url})}"

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "end_session_endpoint": f"{self.url}/logout",
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        } | self.metadata

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        if authorization:
            login = b64decode(authorization.removeprefix("Basic ")).decode()
            client_id, secret = map(unquote, login.split(":"))
        else:
            client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        if (client_id, secret) != (CLIENT_ID, CLIENT_SECRET):
            return 401, {"error": "invalid_client"}
        grant = self._grants.pop(form.get("code", ""), None)
        challenge = b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if grant is None or challenge != grant.challenge or form.get("redirect_uri") != grant.redirect_uri:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": grant.nonce,
            **grant.claims,
            **self.changed,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        key = self.keys[0]
        header = {"alg": key.algorithm, "kid": key.key_id, "typ": "JWT"}
        id_token = self.make_token(claims) if self.make_token else signed(header, claims, key.sign)
        access_token = secrets.token_urlsafe(16)
        self._access_tokens[access_token] = {**grant.claims, **self.more}
        return 200, {"access_token": access_token, "token_type": "Bearer", "expires_in": 300, "id_token": id_token}

    def userinfo(self, authorization: str) -> tuple[int, dict[str, Any]]:
        claims = self._access_tokens.get(authorization.removeprefix("Bearer "))
        return (401, {}) if claims is None else (200, claims)


def single_values(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text, strict_parsing=bool(text)).items()}


class _Handler(BaseHTTPRequestHandler):
    provider: OidcProvider

    def do_GET(self) -> None:
        provider, parts = self.provider, urlsplit(self.path)
        if self._replied(parts.path):
            return
        match parts.path:
            case "/.well-known/openid-configuration":
                self._send_json(200, provider.discovery())
            case "/jwks":
                self._send_json(200, {"keys": [key.jwk for key in provider.keys]})
            case "/userinfo":
                self._send_json(*provider.userinfo(self.headers.get("authorization", "")))
            case "/authorize":
                page = '<h1>Provider</h1><form method="post"><button>Continue as Eve</button></form>'
                self._send(200, page.encode(), {"content-type": "text/html"})
            case "/logout":
                query = single_values(parts.query)
                provider.logouts.append(query)
                self._send(303, b"", {"location": query["post_logout_redirect_uri"]})
            case _:
                self._send(404, b"")

    def do_POST(self) -> None:
        provider, path = self.provider, urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
        if self._replied(path):
            return
        if path == "/authorize":
            location = provider.authorize(provider.url + self.path)
            self._send(303, b"", {"location": location})
        elif path == "/token":
            self._send_json(*provider.token(single_values(body), self.headers.get("authorization", "")))
        else:
            self._send(404, b"")

    def _replied(self, path: str) -> bool:
        self.provider.requests.append(path)
        reply = self.provider.replies.get(path)
        if reply is None:
            return False
        if reply.held:
            reply.held.wait()
        with contextlib.suppress(OSError):  # the server has closed the connection
            self._send(reply.status, reply.body)
        return True

    def _send_json(self, status: int, content: dict[str, Any]) -> None:
        self._send(status, json.dumps(content).encode(), {"content-type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def oidc_provider() -> Iterator[OidcProvider]:
    class Handler(_Handler):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Handler.provider = provider = OidcProvider(f"http://127.0.0.1:{server.server_port}", [RsaKey("rsa-1")])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            for reply in provider.replies.values():
                if reply.held:
                    reply.held.set()
            server.shutdown()
            thread.join()
