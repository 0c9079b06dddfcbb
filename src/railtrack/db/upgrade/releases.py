"""The revisions of MLflow's tables, and which versions of MLflow open a database of each."""

from railtrack.db import schema

OLDEST = "acf3f17fdcc7"
"""The revision of MLflow 2.9. Databases of older versions are not upgraded."""

RELEASES = {
    "acf3f17fdcc7": "2.9 to 2.12",
    "867495a8f9d4": "2.13",
    "5b0e9adcef9c": "2.14",
    "4465047574b1": "2.15 and 2.16",
    "f5a4f2784254": "2.17",
    "0584bdc529eb": "2.18 to 2.22",
    "6953534de441": "3.0 and 3.1",
    "770bee3ae1dd": "3.2",
    "1a0cddfcaa16": "3.3",
    "71994744cf8e": "3.4",
    "bf29a5ff90ea": "3.5 to 3.7",
    "1bd49d398cd23": "3.8",
    "d3e4f5a6b7c8": "3.9",
    "1b5f0d9ad7c1": "3.10",
    "c3d6457b6d8a": "3.11",
    "7d34483879f0": "3.12",
    "da6fb0208061": "3.13",
    "b7e4c1a90f23": "3.14",
    "6f8d9c3b2a1e": "3.15",
    "b7e2c1a4d9f3": "3.16",
    "dc11669786a5": "3.17",
    "f4a9b2c7d1e6": "3.18",
}
"""The versions of MLflow by the revision that they require: each opens this revision only."""


def versions_of(revision: str) -> str:
    """Return the versions of MLflow that open a database of this revision, "" if none is known."""
    return RELEASES.get(revision, "")


def is_upgradable(revision: str) -> bool:
    """Return True for a revision from MLflow 2.9 on that is older than the newest one."""
    order = schema.revisions()
    return revision in order[order.index(OLDEST) : -1]


def is_between(revision: str, start: str, target: str) -> bool:
    """Return True if an upgrade from `start` to `target` comes through this revision of MLflow."""
    order = schema.revisions()
    return order.index(start) < order.index(revision) <= order.index(target)
