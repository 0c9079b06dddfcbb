"""Validate an ID token (OpenID Connect Core 3.1.3.7). It imports the library for signatures with the first token."""

import hmac
from collections.abc import Sequence
from typing import Any

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Signatures by a private key only. With HS256, the public key would be the secret; `none` has no signature at all."""
KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC"}
LEEWAY_S = 60
"""Tolerated difference between the clocks of provider and server."""
TOKEN_LIMIT = 64 * 1024
SUBJECT_LIMIT = 255

Claims = dict[str, Any]


class InvalidIdToken(Exception):
    """The reason is for the log. It contains no part of the token."""


class UnknownKey(InvalidIdToken):
    """None of the keys verifies the token. The provider may have published another one since they were fetched."""


def validate_id_token(token: str, keys: Sequence[Claims], *, issuer: str, client_id: str, nonce: str) -> Claims:
    """Return the claims. Raise InvalidIdToken, or UnknownKey if the keys may be outdated.

    `keys`: the provider's, as JSON Web Keys.
    """
    from joserfc import jwk, jwt
    from joserfc.errors import BadSignatureError, JoseError

    if len(token) > TOKEN_LIMIT:
        raise InvalidIdToken(f"it is longer than {TOKEN_LIMIT} characters")
    key = _key_of(token, keys)
    try:
        public_key = jwk.import_key(key)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise UnknownKey(f"the key that the provider has published is invalid: {type(error).__name__}") from None
    try:
        claims = jwt.decode(token, public_key, algorithms=list(ALGORITHMS)).claims
        jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        ).validate(claims)
    except BadSignatureError:
        raise UnknownKey("its signature is wrong") from None
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise InvalidIdToken(str(error) or type(error).__name__) from None
    audience = claims["aud"]
    if isinstance(audience, list) and len(audience) > 1 and "azp" not in claims:
        raise InvalidIdToken("it is for several clients, and does not name the one that requested it (azp)")
    if claims.get("azp", client_id) != client_id:
        raise InvalidIdToken("another client requested it (azp)")
    sent = claims.get("nonce")
    if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(errors="replace"), nonce.encode()):
        raise InvalidIdToken("it belongs to another login (nonce)")
    if len(claims["sub"]) > SUBJECT_LIMIT or not claims["sub"].isprintable():
        raise InvalidIdToken(f"its subject is not printable, or longer than {SUBJECT_LIMIT} characters")
    return claims


def _key_of(token: str, keys: Sequence[Claims]) -> Claims:
    """Return the key that the token names, or the only one of the right type if it names none."""
    from joserfc import jws
    from joserfc.errors import JoseError

    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError) as error:
        raise InvalidIdToken(f"it is not a signed token: {type(error).__name__}") from None
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise InvalidIdToken(f"its algorithm {str(algorithm)[:20]!r} is not allowed")
    suitable = [
        key
        for key in keys
        if key.get("kty") == KEY_TYPES[algorithm[:2]]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (key_id is None or key.get("kid") == key_id)
    ]
    if not suitable:
        raise UnknownKey("the provider has published no key for it")
    if len(suitable) > 1:
        raise InvalidIdToken("the provider has published several keys for it")
    return suitable[0]
