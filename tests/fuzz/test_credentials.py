"""Generated credentials: whatever a client sends in Authorization, Cookie and login forms, it never causes a 5xx."""

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.auth.conftest import admin, login_settings, low_cost, password_hash, server
from tests.client import Client
from tests.fuzz.test_fuzz import fuzz

from railtrack.auth import tokens
from railtrack.auth.users import User

__all__ = ["admin", "login_settings", "low_cost", "password_hash", "server"]

header_texts = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=200)
base64_texts = st.binary(max_size=100).map(lambda data: b64encode(data).decode())
schemes = st.sampled_from(["Basic", "basic", "Bearer", "bearer", "BEARER", "Digest", "", "\x01", "session"])
authorizations = st.one_of(
    header_texts,
    st.tuples(schemes, st.one_of(header_texts, base64_texts, st.just(tokens.generate_token()))).map(" ".join),
)
cookies = st.one_of(
    header_texts,
    header_texts.map("railtrack={}".format),
    header_texts.map("a=b; railtrack={}; __Host-railtrack=x".format),
)
forms = st.one_of(
    st.binary(max_size=300),
    st.dictionaries(st.sampled_from(["username", "password", "csrf", "next", "x"]), st.text(max_size=50)).map(
        lambda fields: "&".join(f"{name}={value}" for name, value in fields.items()).encode(errors="replace")
    ),
)
PATHS = ["/api/2.0/mlflow/experiments/search", "/account", "/", "/nothing", "/ajax-api/2.0/mlflow/users/current"]


@fuzz
@given(authorizations, cookies, st.sampled_from(PATHS))
@example("Basic " + b64encode(b"ada\0:x").decode(), "", PATHS[0])
@example("Basic " + b64encode(b"mlflow-logged-out-x:x").decode(), "railtrack=\x01", PATHS[4])
@example("Bearer rtk_" + "\xb2" * 49, "", PATHS[0])
async def test_no_credential_causes_an_error(
    server: Client, admin: User, authorization: str, cookie: str, path: str
) -> None:
    for headers in ({"Authorization": authorization}, {"Cookie": cookie}, {"Authorization": "", "Cookie": cookie}):
        for peer in ("127.0.0.1", "", "unix:", "2001:db8::1"):
            response = await server.get(path, headers={**headers, "X-Forwarded-For": authorization}, peer=peer)
            assert response.status in (303, 401, 429), response.text


@fuzz
@given(forms, cookies, st.sampled_from(["application/x-www-form-urlencoded", "application/json", ""]))
@pytest.mark.parametrize("path", ["/login", "/logout", "/account/password"])
async def test_no_form_causes_an_error(
    server: Client, admin: User, path: str, body: bytes, cookie: str, content_type: str
) -> None:
    headers: dict[str, Any] = {"Content-Type": content_type, "Cookie": cookie}
    response = await server.send("POST", path, body=body, headers=headers)
    assert response.status in (303, 400, 401, 403, 429), response.text
