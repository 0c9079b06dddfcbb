"""Tags of experiments. The messages are MLflow's."""

from typing import Any

import pytest
from tests.api.experiments.requests import assert_rejected, create, get, missing
from tests.client import Client

from railtrack.db import Db


async def test_setting_and_deleting_tags_leaves_the_update_time(client: Client) -> None:
    experiment_id = await create(client, "tagged")
    before = await get(client, experiment_id)
    for key, value in (("a", "1"), ("b", "2"), ("a", "3")):
        body = {"experiment_id": experiment_id, "key": key, "value": value}
        assert await client.ok("POST", "experiments/set-experiment-tag", body) == {}
    assert await client.ok("POST", "experiments/set-experiment-tag", {"experiment_id": experiment_id, "key": "b"}) == {}
    tags = [{"key": "a", "value": "3"}, {"key": "b", "value": ""}]
    after = await get(client, experiment_id)
    assert sorted(after.pop("tags"), key=lambda tag: str(tag["key"])) == tags
    assert after == before

    body = {"experiment_id": experiment_id, "key": "a"}
    assert await client.ok("POST", "experiments/delete-experiment-tag", body) == {}
    assert (await get(client, experiment_id))["tags"] == tags[1:]
    answer = await client.post("experiments/delete-experiment-tag", body)
    message = f"No tag with name: a in experiment with id {experiment_id}"
    assert_rejected(answer, 404, "RESOURCE_DOES_NOT_EXIST", message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"key": None}, missing("key")),
        ({"key": ""}, missing("key")),
        ({"key": 3}, "Invalid value 3 for parameter 'key'"),
        ({"key": "k", "value": 3}, "Invalid value 3 for parameter 'value'"),
        ({"key": "a@b"}, "Names may only contain alphanumerics"),
        ({"key": "a@b", "experiment_id": "nope"}, "Names may only contain alphanumerics"),
        ({"key": "a/./b"}, "This name would resolve to 'a/b'"),
        ({"key": "k" * 251}, "'key' exceeds the maximum length of 250 characters"),
        ({"key": "k", "value": "v" * 20_001}, "'value' exceeds the maximum length of 20000 characters"),
    ],
)
async def test_an_invalid_tag_is_rejected(client: Client, db: Db, body: dict[str, Any], message: str) -> None:
    answer = await client.post("experiments/set-experiment-tag", {"experiment_id": "0", "value": "v", **body})
    assert_rejected(answer, 400, "INVALID_PARAMETER_VALUE", message)
    assert await db.fetch_value("SELECT count(*) FROM experiment_tags") == 0
