"""Scorers from the database: one with its versions, and which of them the caller is denied."""

from collections.abc import Callable
from urllib.parse import quote

import msgspec

from railtrack.auth.levels import SCORER, Level
from railtrack.context import Context
from railtrack.db import Row, Tx
from railtrack.errors import ApiError, not_found

SCORER_COLUMNS = """
    scorers.experiment_id, scorers.scorer_name, v.scorer_version, v.serialized_scorer, COALESCE(v.creation_time, 0),
    scorers.scorer_id
"""
"""The fields of Scorer, in their order."""


class Scorer(msgspec.Struct):
    """A version of a scorer. Its experiment id is a number, as in MLflow."""

    experiment_id: int
    scorer_name: str
    scorer_version: int
    serialized_scorer: str
    creation_time: int
    scorer_id: str


async def load_scorer(tx: Tx, number: int, name: str, version: int | None) -> Scorer:
    """Return a version of a scorer, by default the last one. Raise RESOURCE_DOES_NOT_EXIST."""
    row: Row | None = await tx.fetch_row(
        f"""
        SELECT {SCORER_COLUMNS} FROM scorers JOIN scorer_versions v ON v.scorer_id = scorers.scorer_id
        WHERE scorers.experiment_id = $1 AND scorers.scorer_name = $2
            AND v.scorer_version = COALESCE(
                CAST($3 AS INTEGER),
                (SELECT MAX(scorer_version) FROM scorer_versions w WHERE w.scorer_id = scorers.scorer_id)
            )
        """,  # noqa: S608 (our own text)
        number,
        name,
        version,
    )
    if row is None:
        raise no_such_scorer(number, name, version)
    return Scorer(*row)


def no_such_scorer(number: int, name: str, version: int | None = None) -> ApiError:
    of_version = "" if version is None else f" and version {version}"
    return not_found(f"Scorer with name '{name[:250]}'{of_version} not found for experiment {number}.")


async def may_see(ctx: Context) -> Callable[[int, str], bool]:
    """Return whether no DENY of the caller is on a scorer, by its experiment and name."""
    identity = ctx.identity
    if identity is None or identity.is_admin or ctx.grants is None:
        return lambda number, name: True
    grants = await ctx.grants.fresh(identity.user_id)
    return lambda number, name: grants.level(SCORER, scorer_pattern(number, name)) is not Level.DENY


def scorer_pattern(experiment_id: int | str, name: str) -> str:
    """Return how grants name a scorer."""
    return f"{experiment_id}/{quote(name, safe='')}"
