"""Structs of a label schema: as clients send it, as they see it, and the rules for its fields."""

import json
from enum import Enum
from typing import Any

import msgspec

from railtrack.db import Row
from railtrack.errors import invalid
from railtrack.wire.request import Int64

NAME_LIMIT = 250
INSTRUCTION_LIMIT = 1000
LABEL_LIMIT = 64
OPTIONS_LIMIT = 10
DEFAULT_NAME = "Feedback"
DEFAULT_INSTRUCTION = "Share any feedback on this trace."


class LabelSchemaType(Enum):
    """In the order of protobuf's enum numbers, from 1."""

    FEEDBACK = "FEEDBACK"
    EXPECTATION = "EXPECTATION"


class PassFail(msgspec.Struct):
    positive_label: str = ""
    negative_label: str = ""


class Categorical(msgspec.Struct):
    options: list[str] = []
    multi_select: bool = False


class Numeric(msgspec.Struct, omit_defaults=True):
    min_value: float | None = None
    max_value: float | None = None


class Text(msgspec.Struct, omit_defaults=True):
    max_length: Int64 | None = None


Input = PassFail | Categorical | Numeric | Text
KINDS: dict[str, type[Any]] = {"pass_fail": PassFail, "categorical": Categorical, "numeric": Numeric, "text": Text}


class LabelSchemaInput(msgspec.Struct, omit_defaults=True):
    """How reviewers answer. Exactly one of the fields is there."""

    pass_fail: PassFail | None = None
    categorical: Categorical | None = None
    numeric: Numeric | None = None
    text: Text | None = None


class LabelSchema(msgspec.Struct, omit_defaults=True):
    schema_id: str
    experiment_id: str
    name: str
    type: str
    enable_comment: bool | None
    input: LabelSchemaInput
    created_at: int
    last_updated_at: int
    is_default: bool | None
    instruction: str | None = None
    created_by: str | None = None


COLUMNS = """
    schema_id, CAST(experiment_id AS TEXT), name, type, enable_comment, created_time, last_update_time, is_default,
    instruction, created_by, input_type, input_config
"""


def from_row(row: Row) -> LabelSchema:
    """Return the label schema of a row of COLUMNS."""
    (
        schema_id,
        experiment_id,
        name,
        kind,
        comment,
        created,
        updated,
        default,
        instruction,
        creator,
        input_type,
        config,
    ) = row
    return LabelSchema(
        schema_id,
        experiment_id,
        name,
        kind.upper(),
        bool(comment),
        stored_input(input_type, config),
        created,
        updated,
        bool(default),
        instruction,
        creator,
    )


def stored_input(input_type: str, config: str) -> LabelSchemaInput:
    return LabelSchemaInput(**{input_type: msgspec.convert(json.loads(config), KINDS[input_type], strict=False)})


def kind_and_input(sent: LabelSchemaInput | None) -> tuple[str, Input]:
    """Return which input a request has, after its validation."""
    given = [(kind, getattr(sent, kind)) for kind in KINDS if sent is not None and getattr(sent, kind) is not None]
    if len(given) != 1:
        raise invalid(
            "Label schema `input` must set exactly one of: pass_fail, categorical, numeric, text."
            if given
            else "Label schema `input` is required: set one of pass_fail, categorical, numeric, text."
        )
    _check_input(given[0][1])
    return given[0]


def config_of(kind: str, value: Input) -> str:
    """Return an input as MLflow stores it: JSON with all its fields."""
    return json.dumps({field: getattr(value, field) for field in KINDS[kind].__struct_fields__})


def _check_input(value: Input) -> None:
    match value:
        case PassFail():
            for field in ("positive_label", "negative_label"):
                label = getattr(value, field)
                if not label:
                    raise invalid(f"`InputPassFail.{field}` must be a non-empty string; got ''.")
                if len(label) > LABEL_LIMIT:
                    raise invalid(
                        f"`InputPassFail.{field}` must be at most {LABEL_LIMIT} characters; got {len(label)}."
                    )
            if value.positive_label == value.negative_label:
                raise invalid(
                    "`InputPassFail.positive_label` and `negative_label` must be distinct; "
                    f"got {value.positive_label!r} for both."
                )
        case Categorical():
            _check_options(value.options)
        case Numeric():
            if value.min_value is not None and value.max_value is not None and value.min_value >= value.max_value:
                raise invalid(
                    "`InputNumeric.min_value` must be strictly less than `max_value`; "
                    f"got min={value.min_value}, max={value.max_value}."
                )
            for bound in (value.min_value, value.max_value):
                if bound is not None and bound - bound != 0:
                    raise invalid("The bounds of `InputNumeric` must be finite.")
        case Text():
            if value.max_length is not None and value.max_length < 1:
                raise invalid(f"`InputText.max_length` must be at least 1; got {value.max_length}.")


def _check_options(options: list[str]) -> None:
    if not options:
        raise invalid("`InputCategorical.options` must be a non-empty list; got [].")
    if len(options) > OPTIONS_LIMIT:
        raise invalid(f"`InputCategorical.options` must have at most {OPTIONS_LIMIT} entries; got {len(options)}.")
    seen: set[str] = set()
    for option in options:
        if not option:
            raise invalid("`InputCategorical.options` entries must be non-empty strings; got ''.")
        if len(option) > LABEL_LIMIT:
            raise invalid(
                f"`InputCategorical.options` entries must be at most {LABEL_LIMIT} characters; "
                f"got {len(option)} for {option[:250]!r}."
            )
        if option in seen:
            raise invalid(f"`InputCategorical.options` must be deduplicated; {option!r} appears twice.")
        seen.add(option)


def check_fields(name: str | None, instruction: str | None) -> None:
    if name is not None:
        if not name:
            raise invalid("Label schema `name` must be a non-empty string; got ''.")
        if len(name) > NAME_LIMIT:
            raise invalid(f"Label schema `name` must be at most {NAME_LIMIT} characters; got {len(name)}.")
        if name.strip().lower() == DEFAULT_NAME.lower():
            raise invalid(
                f"`{name}` is reserved for the experiment's default question and cannot be used for another label "
                "schema."
            )
    if instruction is not None and len(instruction) > INSTRUCTION_LIMIT:
        raise invalid(
            f"Label schema `instruction` must be at most {INSTRUCTION_LIMIT} characters; got {len(instruction)}."
        )
