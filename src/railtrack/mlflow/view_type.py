"""The view type of a search: which lifecycle stages it returns."""

_STAGES = {"ACTIVE_ONLY": ["active"], "DELETED_ONLY": ["deleted"], "ALL": ["active", "deleted"]}
_NAMES = {str(number): name for number, name in enumerate(_STAGES, 1)}


def stages(view_type: object) -> list[str]:
    """The stages for a view type, given by its name or the protocol's number.

    Anything else means active ones only: MLflow takes it so, as protobuf does with enum values of a later version.
    """
    name = str(view_type)
    return _STAGES.get(_NAMES.get(name, name), _STAGES["ACTIVE_ONLY"])
