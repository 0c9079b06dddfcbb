"""List the responses of MLflow 3.17.2 that differ from those of 3.18.0, with reasons.

`recorded/` has the responses of 3.18.0, `recorded_3_17_2.json` the differing ones of 3.17.2. Railtrack responds as
3.18.0 does, or as `differences/` lists, and serves clients of both versions. A name that ends with a star matches all
exchanges with that prefix.
"""

from collections.abc import Iterator

EARLIER = "3.17.2"

REASONS: dict[str, dict[str, tuple[str, ...]]] = {
    "New in 3.18; earlier clients do not ask for it.": {
        "server": ("the skills*",),
        "artifacts_of_runs": ("upload *", "list the uploads"),
        "logged_models_artifacts": ("get presigned=true",),
        "registry_artifacts": ("presigned=true",),
        "search_experiments_filters": (
            "filter \"attributes.name LIKE '{p}%a'\"",
            "filter 'attributes.last_update_time >= 1'",
            "order by ['attributes.name']",
        ),
        "registry_search_pages": ("versions by 'attributes.name'",),
    },
    "Members that are new in 3.18, which earlier clients ignore, and the version, which they only show.": {
        "server": ("version", "server-info*", "the assistant's config"),
        "wire_slashes": ("get //version", "get /////version"),
    },
    "The message names the entities or types that 3.18 has added.": {
        "search_experiments_filters": ("filter *", "order by ['metrics.loss']"),
        "access_grants": ("grant an unknown type*", "permission: an unknown type", "revoke an unknown type"),
        "access_roles": ("add an unknown type", "add a number as type"),
    },
    "Invalid input that 3.17.2 stored, or failed at with 500 or an error of the database.": {
        "experiments_create": ("a name of blanks",),
        "log_metric_rejected": ("a key with a line break at the end", "the run after the refused metrics"),
        "registry_search_filters": ("*",),
        "access_users": ("create a number as name",),
        "access_grants": ("grant a number as id",),
        "access_roles": ("add an empty pattern", "add an experiment's id that it cannot have"),
    },
    "3.17.2 shows the statement of the database, which contains the hash of a password.": {
        "access_users": ("create the name of another",),
        "access_roles": ("create the name of another", "add the same", "add another permission on the same"),
    },
    "3.17.2 compares the status with a number, which its own API does not show.": {
        "logged_models_filters": ('filter "status*', "filter 'status*"),
    },
    "3.17.2 compares a metric with all values that were logged, 3.18.0 with the latest one, by which it also sorts.": {
        "logged_models_filters": ("filter 'metrics*", "filter \"name LIKE '%a' AND params*", "on *"),
    },
}


def reasons(scenario: str, exchange: str) -> Iterator[str]:
    """Yield the reasons that are listed for an exchange."""
    for why, scenarios in REASONS.items():
        for name in scenarios.get(scenario, ()):
            if exchange == name or (name.endswith("*") and exchange.startswith(name[:-1])):
                yield why
