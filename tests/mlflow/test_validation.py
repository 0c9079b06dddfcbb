"""Names of metrics, params and tags, and keys that a request repeats."""

import pytest

from railtrack.errors import ApiError
from railtrack.mlflow import validation
from railtrack.mlflow.validation import KEY_LIMIT, check_metric_key, first_duplicate


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("a" * (KEY_LIMIT + 1), "'Metric name' exceeds the maximum length of 250 characters"),
        ("a" * 5_000_000, "'Metric name' exceeds the maximum length of 250 characters"),
        ("%" * (KEY_LIMIT + 1), "Names may only contain alphanumerics"),
        ("../" * 100 + "a", "must not resolve to other names"),
    ],
)
def test_a_name_that_is_too_long_is_rejected_and_not_kept_in_memory(key: str, message: str) -> None:
    cached = validation._cached_fault.cache_info().currsize
    with pytest.raises(ApiError) as caught:
        check_metric_key(key, "name")
    assert message in caught.value.message
    assert len(caught.value.message) < 12_000
    assert validation._cached_fault.cache_info().currsize == cached


@pytest.mark.parametrize(("keys", "duplicate"), [([], None), (["a", "b"], None), (["a", "b", "b", "a"], "b")])
def test_the_first_key_that_occurs_again_is_found(keys: list[str], duplicate: str | None) -> None:
    assert first_duplicate(keys) == duplicate
