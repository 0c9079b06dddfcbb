"""What filters and orders of registered models and of versions may name, the SQL of it, and how prompts are told apart.

Prompts are kept as registered models with the tag `mlflow.prompt.is_prompt`, and a search that doesn't ask for them
doesn't find them.
"""

from railtrack.api.registry.queries import NOT_DELETED, WORKSPACE
from railtrack.search.fields import (
    LIST_COMPARATORS,
    TEXT_COMPARATORS,
    Entity,
    Field,
    Sort,
    Term,
    Values,
    Vocabulary,
)
from railtrack.search.parser import Clause, name_of, unquoted
from railtrack.search.sql import Parameters, clauses_of, condition

IS_PROMPT = "mlflow.prompt.is_prompt"
UNKNOWN_ENTITY = "Invalid entity type '{entity}'. Valid entity types are ('attribute', 'tag', 'tags')"
NO_NULL_TEST = "{comparator} is not supported for registered models and their versions, but was asked of '{key}'"
NO_SORT = "Registered models and their versions can't be ordered by a {entity}"
TEXT_WANTED = "Expected a quoted string value or a list of quoted string values for attributes. Got value {value}"
TAG_TEXT_WANTED = "Expected a quoted string value for tag (e.g. 'my-value'). Got value {value}"
STRAY_CLAUSES = "Invalid clause(s) in filter string: {clauses}"

_MODEL_NAME = Term("registered_models.name", Values.TEXT)
_MODEL_UPDATED = Sort((Term("registered_models.last_updated_time", Values.BIGINT, nullable=True),))
_MODEL = Entity(
    name="attribute",
    fields={"name": Field("registered_models.name", lists=True)},
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    sorts={
        "name": Sort((_MODEL_NAME,)),
        "timestamp": _MODEL_UPDATED,
        "last_updated_timestamp": _MODEL_UPDATED,
    },
    unknown_sort="Invalid order by key '{key}' specified. Valid keys are '{valid}'",
    text_wanted=TEXT_WANTED,
    bad_comparator="Invalid comparator for attribute: {comparator}",
)
_MODEL_TAG = Entity(
    name="tag",
    any_field=Field(
        "x.value",
        rows="EXISTS (SELECT 1 FROM registered_model_tags x WHERE x.workspace = registered_models.workspace "
        "AND x.name = registered_models.name AND x.key = {key} AND {test})",
    ),
    text_wanted=TAG_TEXT_WANTED,
    bad_comparator="Invalid comparator for tag: {comparator}",
)
MODELS = Vocabulary(
    entities={"": _MODEL, "attribute": _MODEL, "tag": _MODEL_TAG, "tags": _MODEL_TAG},
    order=(_MODEL_NAME,),
    unknown_entity=UNKNOWN_ENTITY,
    no_null_test=NO_NULL_TEST,
    no_sort=NO_SORT,
    stray_clauses=STRAY_CLAUSES,
)

_NAME = Term("model_versions.name", Values.TEXT)
_NUMBER = Term("model_versions.version", Values.BIGINT)
_VERSION = Entity(
    name="attribute",
    fields={
        "name": Field("model_versions.name", lists=True),
        "run_id": Field("model_versions.run_id", lists=True),
        "source_path": Field("model_versions.source"),
        "version_number": Field("model_versions.version", Values.WHOLE, quoted=True),
    },
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    sorts={
        "name": Sort((_NAME,)),
        "version_number": Sort((_NUMBER,)),
        "creation_timestamp": Sort((Term("model_versions.creation_time", Values.BIGINT, nullable=True),)),
        "last_updated_timestamp": Sort((Term("model_versions.last_updated_time", Values.BIGINT, nullable=True),)),
    },
    text_wanted=TEXT_WANTED,
    bad_comparator="Invalid comparator for attribute: {comparator}",
)
_VERSION_TAG = Entity(
    name="tag",
    any_field=Field(
        "x.value",
        rows="EXISTS (SELECT 1 FROM model_version_tags x WHERE x.workspace = model_versions.workspace "
        "AND x.name = model_versions.name AND x.version = model_versions.version AND x.key = {key} AND {test})",
    ),
    text_wanted=TAG_TEXT_WANTED,
    bad_comparator="Invalid comparator for tag: {comparator}",
)
VERSIONS = Vocabulary(
    entities={"": _VERSION, "attribute": _VERSION, "tag": _VERSION_TAG, "tags": _VERSION_TAG},
    order=(_NAME, Term(_NUMBER.column, Values.BIGINT, descending=True)),
    unknown_entity=UNKNOWN_ENTITY,
    no_null_test=NO_NULL_TEST,
    no_sort=NO_SORT,
    stray_clauses=STRAY_CLAUSES,
)

_NO_PROMPT = (
    f"NOT EXISTS (SELECT 1 FROM registered_model_tags p WHERE p.workspace = '{WORKSPACE}' "  # noqa: S608 (ours)
    f"AND p.name = registered_models.name AND p.key = '{IS_PROMPT}' AND p.value = 'true')"
)
_NO_PROMPTS_VERSION = (
    f"NOT EXISTS (SELECT 1 FROM model_version_tags p WHERE p.workspace = '{WORKSPACE}' "  # noqa: S608 (ours)
    f"AND p.name = model_versions.name AND p.key = '{IS_PROMPT}' AND p.value = 'true')"
)


def models_where(filter_text: str, parameters: Parameters) -> list[str]:
    """The conditions of a search for registered models."""
    where = [f"registered_models.workspace = '{WORKSPACE}'"]
    return where + _with_prompts_apart(filter_text, MODELS, _NO_PROMPT, parameters)


def versions_where(filter_text: str, parameters: Parameters) -> list[str]:
    """The conditions of a search for versions. A model of which one version is a prompt counts as one."""
    where = [f"model_versions.workspace = '{WORKSPACE}'", NOT_DELETED]
    return where + _with_prompts_apart(filter_text, VERSIONS, _NO_PROMPTS_VERSION, parameters)


def _with_prompts_apart(filter_text: str, vocabulary: Vocabulary, no_prompt: str, parameters: Parameters) -> list[str]:
    """The filter's conditions. Without a comparison that asks for prompts they are left out, as MLflow does: then its
    other comparisons of that tag (`= 'false'`, `LIKE 'x'`) count for nothing.
    """
    clauses = clauses_of(filter_text, vocabulary)
    about = [clause for clause in clauses if _is_about_prompts(clause)]
    if any(_asks_for_prompts(clause) for clause in about):
        return [condition(clause, vocabulary, parameters) for clause in clauses]
    for clause in about:
        condition(clause, vocabulary, Parameters())  # for its complaints
    return [*(condition(clause, vocabulary, parameters) for clause in clauses if clause not in about), no_prompt]


def _is_about_prompts(clause: Clause) -> bool:
    name = name_of(clause.left)
    return name.entity in ("tag", "tags") and name.key == IS_PROMPT


def _asks_for_prompts(clause: Clause) -> bool:
    value = unquoted(clause.right.text).lower() if clause.right else ""
    return (clause.comparator, value) in (("=", "true"), ("!=", "false"))
