"""The steps of a plan, for both engines."""

from dataclasses import dataclass

RENAME, CREATE, ADD, BUILD, REPLACE, VALIDATE, DROP = (
    "Rename columns",
    "Create tables",
    "Add columns",
    "Build indexes",
    "Replace keys and constraints",
    "Validate constraints",
    "Drop what MLflow dropped",
)


@dataclass(frozen=True, slots=True)
class UpgradeStep:
    """Statements that run together, in a transaction unless they are `alone`.

    A step is skipped by the next plan once it is done, so that an upgrade may be killed at any of them.
    """

    title: str
    statements: tuple[str, ...]
    is_alone: bool = False
    """Run outside of a transaction, without a limit of its time. It does not block writers."""


@dataclass(slots=True)
class Plan:
    """Steps before the data moves, and steps after it."""

    expand: list[UpgradeStep]
    contract: list[UpgradeStep]

    @property
    def is_empty(self) -> bool:
        return not self.expand and not self.contract
