"""Paths that name an artifact, and paths that are rejected in every spelling."""

from urllib.parse import unquote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from railtrack.artifacts.paths import KEY_BYTES, SEGMENTS, join, key_of, key_to_change
from railtrack.errors import ApiError

NAMES = st.text(
    st.characters(exclude_characters="/\\\0%;?#:", exclude_categories=["Cs"]), min_size=1, max_size=60
).filter(lambda name: name.strip() not in (".", "..", ""))


def error_of(path: str) -> str:
    with pytest.raises(ApiError) as caught:
        key_of(path)
    assert caught.value.status == 400
    assert caught.value.code == "INVALID_PARAMETER_VALUE"
    return caught.value.message


@pytest.mark.parametrize(
    "path",
    [
        "..", "../x", "a/..", "a/../b", "a/b/../../..", "..\\x", "a\\..\\b", "a/..\\b", " ../x", "\n../x", "a/.. /b",
        "%2e%2e/x", "%2E%2e%2fx", "a/%2e%2e", "..%2fx", "%252e%252e/x", "%25252e%25252e%25252fx",
        "%25%32%65%25%32%65/x",
        "..%5cx", "..%255c..%255cx", "a/..;/b", "..;x/b", "a/..?b", "a/..#b", "#/../x", "a#/../x", "a?/../x",
        "a;p/../x", "%23/../x", "a%3f/../x", "..%00/x", "..%0a/x",
        "/", "/etc/passwd", "//proc/self/root", "///x", "%2fetc", "%252fetc/passwd", "\\\\host\\share", "\\x",
        " /x", "%20/x",
        "C:\\x", "c:/x", "C:%5cx", "c%3a/x",
        "file:/etc/passwd", "file:x", "FILE:///etc", "file%3a//x", "http://host/x", "s3://bucket/x", ":/x", "://x",
        "a\0b", "\0", "a%00b", "a%2500b",
        "%2525252525252525252e",
    ],
)  # fmt: skip
def test_traversal_absolute_paths_and_drives_are_rejected_in_any_encoding(path: str) -> None:
    assert error_of(path) == "Invalid path"


@pytest.mark.parametrize(
    "path",
    [
        "a b", "a#b", "a%b", "100%", "5%ac.txt", "a+b", "a&b=c", "a;b", "a?b", "a:b", "C:x", "sub/C:", "...", "a..b",
        "..a", "~/x", "$HOME", "*", "a\\b", "모델/결과.txt", "‥/x", "a'b\"c", "%", "%%", "a%20b", "-rf", "a\tb",
    ],
)  # fmt: skip
def test_unusual_names_are_accepted(path: str) -> None:
    assert key_of(path) == path


def test_empty_and_dot_segments_are_dropped() -> None:
    assert key_of("a//b/./c/") == "a/b/c"
    assert key_of("") == key_of(".") == key_of("./") == ""
    assert join("run/artifacts", "./model/") == "run/artifacts/model"
    assert join("run/artifacts", "") == "run/artifacts"
    assert join("", "model") == "model"


def test_a_path_to_change_has_no_dot_segment() -> None:
    assert key_to_change("a//b/") == "a/b"
    for path in (".", "a/.", "./a", "a/./b"):
        with pytest.raises(ApiError, match=r"^Invalid path$"):
            key_to_change(path)


def test_paths_that_are_too_long_or_deep_are_rejected_with_the_reason() -> None:
    assert "longer than" in error_of("n" * 256)
    assert "longer than" in error_of("모" * 86)
    assert "longer than" in error_of("a/" * 20 + "n" * KEY_BYTES)
    assert "deeper than" in error_of("d/" * SEGMENTS + "f")
    assert key_of("n" * 255) == "n" * 255


def test_half_a_surrogate_pair_is_rejected() -> None:
    assert error_of("a\ud800") == "Invalid path"


@given(st.lists(NAMES, min_size=1, max_size=6))
def test_a_path_of_plain_names_is_its_own_key(names: list[str]) -> None:
    path = "/".join(names)
    if path.startswith((" ", "\\")) or path[0].isspace():
        path = f"x{path}"
    assert key_of(path) == path


def key_or_none(path: str) -> str | None:
    try:
        return key_of(path)
    except ApiError:
        return None


DANGEROUS = [
    "..",
    ".",
    "/",
    "\\",
    "%2e",
    "%2f",
    "%5c",
    "%25",
    "25",
    "2e",
    "%",
    ":",
    ";",
    "?",
    "#",
    " ",
    "a",
    "C:",
    "file:",
]


@given(st.lists(st.sampled_from(DANGEROUS), max_size=12).map("".join))
def test_a_key_never_leaves_its_root_however_often_it_is_decoded(path: str) -> None:
    key = key_or_none(path)
    assume(key is not None)
    assert key is not None
    assert key_of(key) == key
    assert not key.startswith("/")
    assert ".." not in [segment.strip() for segment in key.replace("\\", "/").split("/")]
    assert ".." not in unquote(unquote(key)).replace("\\", "/").split("/")
