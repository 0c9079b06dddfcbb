"""What filters and orders of registered models and of versions may name, the SQL of each name, and the prompt filter.

Prompts are stored as registered models with the tag `mlflow.prompt.is_prompt`; a search excludes them by default.
"""

from railtrack.mlflow.ids import DEFAULT_WORKSPACE
from railtrack.mlflow.prompts import IS_PROMPT_TAG
from railtrack.search.builder import SearchBuilder
from railtrack.search.conditions import Parameters, compile_clause, parse_clauses
from railtrack.search.fields import (
    LIST_COMPARATORS,
    TEXT_COMPARATORS,
    EntityFields,
    Field,
    SearchFields,
    SortField,
    SortKey,
    ValueType,
)
from railtrack.search.parser import Clause, name_of, unquoted

UNKNOWN_ENTITY = "Invalid entity type '{entity}'. Valid entity types are ('attribute', 'tag', 'tags')"
ORDER_NOT_SUPPORTED = "Registered models and their versions cannot be ordered by a {entity}"
TEXT_EXPECTED = "Expected a quoted string value or a list of quoted string values for attributes. Got value {value}"
TAG_TEXT_EXPECTED = "Expected a quoted string value for tag (e.g. 'my-value'). Got value {value}"
INVALID_CLAUSES = "Invalid clause(s) in filter string: {clauses}"

_MODEL_NAME = SortKey("registered_models.name", ValueType.TEXT)
_MODEL_UPDATED = SortField((SortKey("registered_models.last_updated_time", ValueType.BIGINT, nullable=True),))
_MODEL = EntityFields(
    name="attribute",
    fields={"name": Field("registered_models.name", accepts_lists=True)},
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    sort_fields={
        "name": SortField((_MODEL_NAME,)),
        "timestamp": _MODEL_UPDATED,
        "last_updated_timestamp": _MODEL_UPDATED,
    },
    unknown_sort_key="Invalid order by key '{key}' specified. Valid keys are '{valid}'",
    text_expected=TEXT_EXPECTED,
    invalid_comparator="Invalid comparator for attribute: {comparator}",
)
_MODEL_TAG = EntityFields(
    name="tag",
    any_field=Field(
        "x.value",
        condition="EXISTS (SELECT 1 FROM registered_model_tags x WHERE x.workspace = registered_models.workspace "
        "AND x.name = registered_models.name AND x.key = {key} AND {test})",
    ),
    text_expected=TAG_TEXT_EXPECTED,
    invalid_comparator="Invalid comparator for tag: {comparator}",
)
MODELS = SearchFields(
    table="registered_models",
    entities={"": _MODEL, "attribute": _MODEL, "tag": _MODEL_TAG, "tags": _MODEL_TAG},
    default_order=(_MODEL_NAME,),
    unknown_entity=UNKNOWN_ENTITY,
    null_not_supported="IS NULL / IS NOT NULL is not supported for registered model search.",
    order_not_supported=ORDER_NOT_SUPPORTED,
    invalid_clauses=INVALID_CLAUSES,
)

_NAME = SortKey("model_versions.name", ValueType.TEXT)
_NUMBER = SortKey("model_versions.version", ValueType.BIGINT)
_CREATED = SortKey("model_versions.creation_time", ValueType.BIGINT, nullable=True)
_UPDATED = SortKey("model_versions.last_updated_time", ValueType.BIGINT, nullable=True)
_VERSION = EntityFields(
    name="attribute",
    fields={
        "name": Field("model_versions.name", accepts_lists=True),
        "run_id": Field("model_versions.run_id", accepts_lists=True),
        "source_path": Field("model_versions.source"),
        "version_number": Field("model_versions.version", ValueType.WHOLE, accepts_quoted_numbers=True),
    },
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    sort_fields={
        "name": SortField((_NAME,)),
        "version_number": SortField((_NUMBER,)),
        "creation_timestamp": SortField((_CREATED,)),
        "last_updated_timestamp": SortField((_UPDATED,)),
    },
    text_expected=TEXT_EXPECTED,
    invalid_comparator="Invalid comparator for attribute: {comparator}",
)
_VERSION_TAG = EntityFields(
    name="tag",
    any_field=Field(
        "x.value",
        condition="EXISTS (SELECT 1 FROM model_version_tags x WHERE x.workspace = model_versions.workspace "
        "AND x.name = model_versions.name AND x.version = model_versions.version AND x.key = {key} AND {test})",
    ),
    text_expected=TAG_TEXT_EXPECTED,
    invalid_comparator="Invalid comparator for tag: {comparator}",
)
VERSIONS = SearchFields(
    table="model_versions",
    entities={"": _VERSION, "attribute": _VERSION, "tag": _VERSION_TAG, "tags": _VERSION_TAG},
    default_order=(_NAME, SortKey(_NUMBER.expression, ValueType.BIGINT, descending=True)),
    sort_entities={"attributes": _VERSION},
    unknown_entity=UNKNOWN_ENTITY,
    null_not_supported="IS NULL / IS NOT NULL is not supported for model version search.",
    order_not_supported=ORDER_NOT_SUPPORTED,
    invalid_clauses=INVALID_CLAUSES,
)

NOT_A_PROMPT = (
    f"NOT EXISTS (SELECT 1 FROM registered_model_tags p WHERE p.workspace = '{DEFAULT_WORKSPACE}' "  # noqa: S608 (our own text)
    f"AND p.name = registered_models.name AND p.key = '{IS_PROMPT_TAG}' AND p.value = 'true')"
)
NOT_OF_A_PROMPT = (
    f"NOT EXISTS (SELECT 1 FROM model_version_tags p WHERE p.workspace = '{DEFAULT_WORKSPACE}' "  # noqa: S608 (our own text)
    f"AND p.name = model_versions.name AND p.key = '{IS_PROMPT_TAG}' AND p.value = 'true')"
)
"""A model of which one version is a prompt counts as a prompt."""


def filter_prompts(search: SearchBuilder, text: str, fields: SearchFields, is_no_prompt: str) -> SearchBuilder:
    """Add a filter to the search. Exclude prompts unless a comparison asks for them, as MLflow does.

    Without such a comparison, the others of the prompt tag (`= 'false'`, `LIKE 'x'`) are validated and ignored.
    """
    clauses = parse_clauses(text, fields)
    of_prompt_tag = [clause for clause in clauses if _names_prompt_tag(clause)]
    if any(_asks_for_prompts(clause) for clause in of_prompt_tag):
        return search.compare(clauses)
    for clause in of_prompt_tag:
        compile_clause(clause, fields, Parameters())
    return search.compare(clause for clause in clauses if clause not in of_prompt_tag).where(is_no_prompt)


def of_type(resource_type: str, table: str) -> str:
    """Return the condition that a row of the table belongs to a prompt, or to another registered model.

    As is_prompt does, it ignores the case of the tag's value. A version's own tags do not count.
    """
    is_prompt = (
        f"EXISTS (SELECT 1 FROM registered_model_tags p WHERE p.workspace = '{DEFAULT_WORKSPACE}' "  # noqa: S608 (our own text)
        f"AND p.name = {table}.name AND p.key = '{IS_PROMPT_TAG}' AND LOWER(p.value) = 'true')"
    )
    return is_prompt if resource_type == "prompt" else f"NOT {is_prompt}"


def listed_types(text: str, fields: SearchFields) -> tuple[str, ...]:
    """Return the resource types that a search with this filter lists, for whose names the caller needs a grant."""
    asked = [
        clause for clause in parse_clauses(text, fields) if _names_prompt_tag(clause) and _asks_for_prompts(clause)
    ]
    if not asked:
        return ("registered_model",)
    # With `!= 'false'` alone, models match whose tag has yet another value, and which are no prompts.
    return ("prompt",) if any(clause.comparator == "=" for clause in asked) else ("prompt", "registered_model")


def _names_prompt_tag(clause: Clause) -> bool:
    name = name_of(clause.left)
    return name.entity in ("tag", "tags") and name.key == IS_PROMPT_TAG


def _asks_for_prompts(clause: Clause) -> bool:
    value = unquoted(clause.right.text).lower() if clause.right else ""
    return (clause.comparator, value) in (("=", "true"), ("!=", "false"))
