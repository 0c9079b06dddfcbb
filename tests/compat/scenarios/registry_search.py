"""registered-models/search and model-versions/search, which separate prompts from models.

Every search filters by the prefix of this run.
"""

from typing import Any

from tests.compat.play import AJAX, Script, get, post
from tests.compat.scenarios.given_models import SOURCE, delete, pairs, registered_model, version

MODELS = "registered-models/search"
VERSIONS = "model-versions/search"
NAMES = ("registered_models", "name")
LABELS = ("model_versions", "description")
PROMPT = pairs(**{"mlflow.prompt.is_prompt": "true", "mlflow.prompt.text": "Say {{it}}."})
IS_PROMPT = "tags.`mlflow.prompt.is_prompt`"


def some(prefix: str) -> Script:
    """Create models alpha, Beta, gamma, the prompt delta, and versions of all, described by name and number."""
    tags = pairs(team="vision", **{"a b": "x", "mlflow.x.y": "z"})
    alpha = yield from registered_model(prefix, "alpha", tags=tags)
    beta = yield from registered_model(prefix, "Beta")
    gamma = yield from registered_model(
        prefix, "gamma", tags=pairs(team="Speech", **{"mlflow.prompt.is_prompt": "false"})
    )
    delta = yield from registered_model(prefix, "delta", tags=[*PROMPT[:1], *pairs(team="vision")])
    yield from version(alpha, "alpha 1", run_id="r1", tags=pairs(k="v", **{"a b": "x"}))
    yield from version(beta, "Beta 1", source="s3://other/model", tags=pairs(k="V2"))
    yield from version(alpha, "alpha 2", run_id="r2")
    yield from version(gamma, "gamma 1", tags=pairs(**{"mlflow.prompt.is_prompt": "false"}))
    yield from version(
        delta, "delta 1", source="dummy-source", tags=[*PROMPT, *pairs(**{"mlflow.prompt.run_ids": "r1,r2"})]
    )
    yield post("given an alias", "registered-models/alias", {"name": alpha, "alias": "champion", "version": "1"})


SHARED = [
    "name = '{p}alpha'",
    'name = "{p}alpha"',
    "attribute.name != '{p}alpha'",
    "name LIKE '%a'",
    "name ILIKE '%BETA'",
    "name LIKE '%BETA'",
    "name IN ('{p}alpha', '{p}gamma')",
    "name NOT IN ('{p}alpha')",
    "name = ''",
    "tags.`a b` = 'x'",
    'tags."a b" = "x"',
    "tags.nope != 'x'",
    "name LIKE '%a' AND",
    "AND name LIKE '%a'",
    "name LIKE '%a' OR name LIKE '%b'",
    "(name LIKE '%a')",
    "name",
    "name =",
    "name LIKE 'unclosed",
    "name > 'a'",
    "name == 'a'",
    "name RLIKE 'a'",
    "name = alpha",
    "name = NULL",
    "'a' = name",
    "name IN ()",
    "name IN (1)",
    "attributes.name = 'a'",
    "model.name = 'a'",
    "metrics.x > 1",
    "params.x = '1'",
    "description LIKE 'd%'",
    "creation_timestamp > 0",
    "user_id = 'x'",
    "tags.k > 'a'",
    "tags.k = 3",
    "tags.k = v",
    "tags.k IN ('v')",
    "tags.k IS NULL",
    "name IS NOT NULL",
    f"{IS_PROMPT} = 'true'",
    f"{IS_PROMPT} != 'true'",
    f"{IS_PROMPT} = 'false'",
    f"{IS_PROMPT} != 'false'",
    f"{IS_PROMPT} = 'x'",
    f"{IS_PROMPT} = 'True'",
    f"{IS_PROMPT} LIKE 'tr%'",
    f"{IS_PROMPT} ILIKE 'TRUE'",
    f"{IS_PROMPT} > 'a'",
    f"{IS_PROMPT} = 3",
    f"{IS_PROMPT} = 'true' AND {IS_PROMPT} = 'false'",
    "tags.mlflow.prompt.is_prompt = 'true'",
]
OF_MODELS = [
    "tags.team = 'vision'",
    "tag.team != 'vision'",
    "tags.team ILIKE 's%'",
    "tags.mlflow.x.y = 'z'",
    "tags.`mlflow.x.y` = 'z'",
    "tags.team = 'vision' AND tags.`a b` = 'x'",
    "run_id = 'r1'",
    "name = 3",
]
OF_VERSIONS = [
    "run_id = 'r1'",
    "run_id != 'r1'",
    "run_id IN ('r1', 'r2')",
    "run_id NOT IN ('r1')",
    "run_id LIKE 'r%'",
    "run_id = ''",
    f"source_path = '{SOURCE}'",
    "source_path ILIKE 'S3://OTHER%'",
    "source_path IN ('x')",
    "version_number = 2",
    "version_number >= '2'",
    "version_number != 1",
    "version_number = 1.5",
    "version_number LIKE '1'",
    "tags.k = 'v'",
    "tag.k ILIKE 'v%'",
    "status = 'READY'",
    "current_stage = 'None'",
    "aliases = 'champion'",
    f"{IS_PROMPT} = 'true' AND tags.`mlflow.prompt.run_ids` ILIKE \"%R2%\"",
]


def filters(prefix: str) -> Script:
    yield from some(prefix)
    mine = f"name LIKE '{prefix}%'"
    yield get("every model", MODELS, {"filter": mine})
    yield get("every version", VERSIONS, {"filter": mine})
    for path, noun, texts, only in ((MODELS, "models", OF_MODELS, NAMES), (VERSIONS, "versions", OF_VERSIONS, LABELS)):
        for text in [*SHARED, *texts]:
            asked = f"{mine} AND {text.format(p=prefix)}"
            yield get(f"{noun}: {text!r}", path, {"filter": asked, "order_by": "name"}, only=only)
        for text in ("nonsense nonsense", "  ", ";", "NOT name = 'a'"):
            yield get(f"{noun}: only {text!r}", path, {"filter": text}, only=only)


ORDERS_OF_MODELS: list[Any] = [
    "name",
    "name DESC",
    "name desc",
    "attribute.name",
    "timestamp",
    "timestamp DESC",
    "last_updated_timestamp",
    ["timestamp DESC", "name"],
    ["name", "name"],
    "creation_timestamp",
    "description",
    "tags.team",
    "attributes.name",
    "NAME",
    "",
    "name UP",
    "name ASC DESC",
    "name; DROP TABLE x",
    " name",
]
ORDERS_OF_VERSIONS: list[Any] = [
    "name",
    "name DESC",
    "attribute.name",
    "version_number",
    "version_number DESC",
    "creation_timestamp",
    "creation_timestamp DESC",
    "last_updated_timestamp",
    "last_updated_timestamp DESC",
    ["version_number", "name DESC"],
    ["name", "name"],
    "timestamp",
    "description",
    "run_id",
    "tags.k",
    "attributes.name",
    "",
    "name UP",
    "name; DROP TABLE x",
]


def orders_and_pages(prefix: str) -> Script:
    yield from some(prefix)
    mine: dict[str, Any] = {"filter": f"name LIKE '{prefix}%'"}
    for path, noun, orders, only in (
        (MODELS, "models", ORDERS_OF_MODELS, NAMES),
        (VERSIONS, "versions", ORDERS_OF_VERSIONS, LABELS),
    ):
        for order_by in orders:
            yield get(f"{noun} by {order_by!r}", path, {**mine, "order_by": order_by}, only=only)
        sizes = (1, 2, 1000, "x", "", 1.5) if path == MODELS else (1, 2, 1000, 0, -1, 200_000, 200_001, "x", "", 1.5)
        for size in sizes:
            yield get(f"{noun}: max_results {size!r}", path, {**mine, "max_results": size}, only=only)
        for order_by in ("name", "name DESC", None):
            token = None
            for number in range(4):
                query = {**mine, "max_results": 2}
                query |= {"order_by": order_by} if order_by else {}
                query |= {"page_token": token} if token else {}
                page = yield get(f"{noun}: page {number + 1} by {order_by}", path, query, only=only)
                token = page.json.get("next_page_token")
                if not token:
                    break
        yield get(f"{noun}: a token that is nonsense", path, {**mine, "page_token": "nonsense"}, only=only)
        yield get(f"{noun}: an empty token", path, {**mine, "page_token": ""}, only=only)
        yield get(f"{noun} through the pages' path", AJAX + path, mine, only=only)
    yield get("models: max_results 1001", MODELS, {**mine, "max_results": 1001})
    yield delete("delete a version", "model-versions/delete", {"name": f"{prefix}alpha", "version": "2"})
    yield get("versions after a deletion", VERSIONS, mine, only=LABELS)
    yield get("models after a deletion", MODELS, mine)
    dummy = {"name": f"{prefix}alpha", "source": "dummy-source", "description": "alpha 3", "tags": PROMPT}
    yield post("given a version that is a prompt", "model-versions/create", dummy)
    yield get("versions with a prompt among them", VERSIONS, mine, only=LABELS)
    for source in ("dummy-source", "prompt-template", SOURCE, "/etc/passwd", "Dummy-source"):
        body = {"name": f"{prefix}delta", "source": source, "tags": PROMPT}
        yield post(f"a prompt from {source!r}", "model-versions/create", body)
    for label, body in {
        "a model named like a prompt": {"name": f"{prefix}delta"},
        "a prompt named like a model": {"name": f"{prefix}alpha", "tags": PROMPT},
        "a prompt named like a prompt": {"name": f"{prefix}delta", "tags": PROMPT},
    }.items():
        yield post(label, "registered-models/create", body)


SCENARIOS = {"registry_search_filters": filters, "registry_search_pages": orders_and_pages}
