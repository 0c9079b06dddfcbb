"""The view type of a search, which selects lifecycle stages."""

_STAGES = {"ACTIVE_ONLY": ["active"], "DELETED_ONLY": ["deleted"], "ALL": ["active", "deleted"]}
_NAMES = {str(number): name for number, name in enumerate(_STAGES, 1)}


def stages(view_type: object) -> list[str]:
    """Return the lifecycle stages of a view type, given as its name or protobuf's enum number.

    Anything else means active ones only, as in MLflow: protobuf ignores enum values that it does not know.
    """
    name = str(view_type)
    return _STAGES.get(_NAMES.get(name, name), _STAGES["ACTIVE_ONLY"])
