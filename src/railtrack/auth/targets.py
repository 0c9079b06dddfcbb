"""Find the resources that a request names, and what it needs on each. Whether the user has it is decided in policy.py.

The ids are those of the decoded request, which the handler uses. What a run or a logged model belongs to never changes,
so it is cached.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from railtrack.artifacts import ArtifactStores
from railtrack.auth import (
    READ_TRACES,
    REGISTERED_MODEL_DELETE,
    REGISTERED_MODEL_EDIT,
    VERSION,
    Access,
    AccessTarget,
    Action,
    Need,
)
from railtrack.auth.artifact_owners import ArtifactOwners
from railtrack.db import Db
from railtrack.errors import ApiError, not_found
from railtrack.mlflow.ids import DEFAULT_WORKSPACE, experiment_number
from railtrack.mlflow.model_source import model_reference, split_source, without_dots
from railtrack.mlflow.prompts import IS_PROMPT_TAG, is_prompt

Key = tuple[str, str]
"""A resource: its type and its id or name. "*" is all of the type."""

CACHED_IDS = 10_000
EVERY_RUN = (Need(Action.READ), Need(Action.READ, "run"))
EVERY_LOGGED_MODEL = (Need(Action.READ), Need(Action.READ, "logged_model"))
EDIT_RUN = (Need(Action.READ), Need(Action.EDIT, "run"))
EXPERIMENT_HEADER, RUN_HEADER = b"x-mlflow-experiment-id", b"x-mlflow-run-id"
EDIT_LOGGED_MODEL = (Need(Action.READ), Need(Action.EDIT, "logged_model"))


class Requirement(NamedTuple):
    """The first of `keys` with a grant decides about the action."""

    action: Action
    keys: tuple[Key, ...]
    is_either: bool = False
    """Whether the permission of any of the keys suffices."""
    without_part: Action | None = None
    """The action that the other keys must permit if the first one has no grant, if it is another one."""


def permission_denied() -> ApiError:
    return ApiError("PERMISSION_DENIED", "Permission denied.")


def requirements(needs: Iterable[Need], resource: Key) -> list[Requirement]:
    """Return what `needs` mean for a resource."""
    resource_type = resource[0]
    return [
        Requirement(
            need.action,
            ((_part_type(need.part, resource_type), "*"), resource) if need.part else (resource,),
            need.is_either,
            need.without_part,
        )
        for need in needs
    ]


def _part_type(part: str, resource_type: str) -> str:
    return f"{resource_type}_version" if part == VERSION else part


class Targets:
    """Finds the targets of requests to one server process."""

    def __init__(self, db: Db, stores: ArtifactStores, owners: ArtifactOwners) -> None:
        self._db = db
        self._stores = stores
        self._owners = owners
        self._experiments_of_runs = _ExperimentIds(db, "runs", "run_uuid")
        self._experiments_of_models = _ExperimentIds(db, "logged_models", "model_id")

    async def of(self, access: Access, request: Any) -> list[Requirement]:
        """Return what the request needs. Raise PERMISSION_DENIED for a run or a logged model that does not exist."""
        needs = access.needs
        match access.target:
            case AccessTarget.EXPERIMENT:
                return requirements(needs, await self._experiment(request))
            case AccessTarget.EXPERIMENTS:
                ids = {str(experiment_number(one)) for one in _experiment_ids(request)}
                return on_each(needs, ids)
            case AccessTarget.TRACE:
                return await self._in_experiment(needs, "trace_info", "request_id", request.trace_id)
            case AccessTarget.ISSUE:
                return await self._in_experiment(needs, "issues", "issue_id", request.issue_id)
            case AccessTarget.LABEL_SCHEMA:
                return await self._in_experiment(needs, "label_schemas", "schema_id", request.schema_id)
            case AccessTarget.REVIEW_QUEUE:
                return await self._in_experiment(needs, "review_queues", "queue_id", request.queue_id)
            case AccessTarget.SCORER:
                return await self._scorer(needs, request)
            case AccessTarget.DATASET:
                return await self._dataset(needs, request)
            case AccessTarget.NEW_DATASET:
                ids = {str(experiment_number(one)) for one in request.experiment_ids}
                return on_each(needs, ids) if ids else [Requirement(Action.CREATE, ())]
            case AccessTarget.RUN:
                run_id = _run_id(request)
                return await self._runs(needs, [run_id]) if run_id else []
            case AccessTarget.RUNS:
                return await self._runs_of_history(needs, request)
            case AccessTarget.LOGGED_METRICS:
                models = _model_ids(request)
                on_run = await self._runs(needs, [request.run_id])
                return on_run + await self._models(EDIT_LOGGED_MODEL, models) if models else on_run
            case AccessTarget.LOGGED_MODEL:
                return await self._models(needs, [request.model_id])
            case AccessTarget.RUN_OR_LOGGED_MODEL:
                return await self._run_or_model(request)
            case AccessTarget.NEW_SPANS:
                number = experiment_number(request.header(EXPERIMENT_HEADER))
                on_experiment = requirements(needs, ("experiment", str(number)))
                run_id = request.header(RUN_HEADER)
                return on_experiment + (await self._runs(EDIT_RUN, [run_id]) if run_id else [])
            case AccessTarget.TRACES_OF_RUN:
                on_run = await self._runs(needs, [request.run_id])
                return on_run + await self._traces(READ_TRACES, request.trace_ids)
            case AccessTarget.NEW_EXPERIMENT:
                return [Requirement(Action.CREATE, (("experiment", "*"),))]
            case AccessTarget.NEW_LOGGED_MODEL:
                found = requirements(needs, await self._experiment(request))
                return found + await self._runs(EVERY_RUN, [request.source_run_id] if request.source_run_id else [])
            case AccessTarget.NEW_REGISTERED_MODEL:
                return [Requirement(Action.CREATE, ((_type_of_tags(request.tags), request.name),))]
            case AccessTarget.REGISTERED_MODEL:
                model = await self._registered_model(request.name, needs)
                return requirements(needs, model) + _on_becoming_another(model, access, request)
            case AccessTarget.NEW_MODEL_VERSION:
                return await self._new_version(needs, request)
        raise AssertionError(f"no requirements for {access.target}")

    async def _experiment(self, request: Any) -> Key:
        name: str | None = getattr(request, "experiment_name", None)
        if name is None:
            return "experiment", str(experiment_number(request.experiment_id))
        number = await self._db.fetch_value(
            "SELECT experiment_id FROM experiments WHERE workspace = $1 AND name = $2", DEFAULT_WORKSPACE, name
        )
        if number is None:
            raise not_found(f"Could not find experiment with name '{name}'")
        return "experiment", str(number)

    async def _in_experiment(self, needs: Sequence[Need], table: str, column: str, value: str) -> list[Requirement]:
        """Return what `needs` mean for the experiment of a row.

        Not cached: a client can choose the id, so after a deletion another experiment can have it.
        """
        experiment_id = await self._db.fetch_value(
            f"SELECT CAST(experiment_id AS TEXT) FROM {table} WHERE {column} = $1",  # noqa: S608 (constants)
            value,
        )
        if experiment_id is None:
            raise permission_denied()
        return requirements(needs, ("experiment", experiment_id))

    async def _scorer(self, needs: Sequence[Need], request: Any) -> list[Requirement]:
        """Return what the request needs on a scorer: a grant on it decides before one on its experiment."""
        experiment = await self._experiment(request)
        scorer = ("scorer", f"{experiment[1]}/{quote(request.name, safe='')}")
        keys: dict[str, tuple[Key, ...]] = {"": (scorer, experiment), "experiment": (experiment,)}
        return [Requirement(need.action, keys.get(need.part, ((need.part, "*"), scorer, experiment))) for need in needs]

    async def _dataset(self, needs: Sequence[Need], request: Any) -> list[Requirement]:
        """Return what the request needs on the experiments of a dataset, and on those that it adds or removes."""
        rows = await self._db.fetch(
            """
            SELECT a.destination_id FROM evaluation_datasets d LEFT JOIN entity_associations a
                ON a.source_type = 'evaluation_dataset' AND a.source_id = d.dataset_id
                AND a.destination_type = 'experiment'
            WHERE d.workspace = $1 AND d.dataset_id = $2
            """,
            DEFAULT_WORKSPACE,
            request.dataset_id,
        )
        if not rows:
            raise permission_denied()
        linked = sorted(row[0] for row in rows if row[0] is not None)
        keys = tuple(("experiment", one) for one in linked)
        if needs[0].is_either or not keys:
            found = [Requirement(need.action, keys, need.is_either and bool(keys)) for need in needs]
        else:
            found = on_each(needs, linked)
        named = {str(experiment_number(one)) for one in getattr(request, "experiment_ids", ())}
        return found + on_each(needs, named - set(linked))

    async def _runs(self, needs: Sequence[Need], run_ids: Sequence[str]) -> list[Requirement]:
        found = await self._experiments_of_runs.of(run_ids)
        if len(found) < len(set(run_ids)):
            raise permission_denied()
        return on_each(needs, set(found.values()))

    async def _runs_of_history(self, needs: Sequence[Need], request: Any) -> list[Requirement]:
        run_ids = request.run_ids if hasattr(request, "run_ids") else request.run_id
        found = await self._experiments_of_runs.of(run_ids)
        for run_id in run_ids:
            if run_id not in found:
                raise not_found(f"Run with id={run_id} not found")
        return on_each(needs, set(found.values()))

    async def _models(self, needs: Sequence[Need], model_ids: Sequence[str]) -> list[Requirement]:
        found = await self._experiments_of_models.of(model_ids)
        if len(found) < len(set(model_ids)):
            raise permission_denied()
        return on_each(needs, set(found.values()))

    async def _traces(self, needs: Sequence[Need], trace_ids: Sequence[str]) -> list[Requirement]:
        rows = await self._db.fetch(
            "SELECT CAST(experiment_id AS TEXT) FROM trace_info WHERE request_id = ANY($1)", list(set(trace_ids))
        )
        if len(rows) < len(set(trace_ids)):
            raise permission_denied()
        return on_each(needs, {experiment_id for [experiment_id] in rows})

    async def _run_or_model(self, request: Any) -> list[Requirement]:
        needs = (Need(Action.READ), Need(Action.EDIT, "run"))
        runs = await self._runs(needs, [request.run_id] if request.run_id else [])
        return runs + await self._models(EDIT_LOGGED_MODEL, [request.model_id] if request.model_id else [])

    async def _registered_model(self, name: str, needs: Sequence[Need]) -> Key:
        """Return the registered model or prompt. A missing one is a registered model, unless a version is needed."""
        rows = await self._db.fetch(
            """
            SELECT t.value FROM registered_models m LEFT JOIN registered_model_tags t
                ON t.workspace = m.workspace AND t.name = m.name AND t.key = $3
            WHERE m.workspace = $1 AND m.name = $2
            """,
            DEFAULT_WORKSPACE,
            name,
            IS_PROMPT_TAG,
        )
        if not rows and any(need.part for need in needs):
            raise permission_denied()
        return ("prompt" if rows and is_prompt(rows[0][0]) else "registered_model"), name

    async def _new_version(self, needs: Sequence[Need], request: Any) -> list[Requirement]:
        """Return also what the source needs: nobody may register, and so read, the files of others."""
        found = requirements(needs, await self._registered_model(request.name, needs))
        found += await self._runs(EVERY_RUN, [request.run_id] if request.run_id else [])
        found += await self._models(EVERY_LOGGED_MODEL, [request.model_id] if request.model_id else [])
        if _type_of_tags(request.tags) == "prompt":
            return found
        source = split_source(request.source)
        if source.scheme == "models":
            # Any other than a reference must be the logged model of the request.
            if reference := model_reference(source):
                found += requirements(
                    (Need(Action.READ), Need(Action.NOT_DENIED, VERSION)),
                    await self._registered_model(reference.name, needs),
                )
        elif source.scheme != "runs":
            found += await self._files(without_dots(request.source))
        return found

    async def _files(self, source: str) -> list[Requirement]:
        """Return what reading the files at this URI needs, nothing if this server does not serve them."""
        try:
            location = self._stores.locate(source)
        except ApiError:
            return []
        owner = await self._owners.of(location)
        return on_each(EVERY_RUN, owner.experiment_ids) if owner else []


def on_each(needs: Iterable[Need], experiment_ids: Iterable[str]) -> list[Requirement]:
    """Return what `needs` mean for each of the experiments."""
    needs = tuple(needs)
    return [each for one in sorted(experiment_ids) for each in requirements(needs, ("experiment", one))]


def _experiment_ids(request: Any) -> Sequence[str]:
    """Return the experiment ids of a request that has several, in one of three forms."""
    if hasattr(request, "experiment_ids"):
        one: str = getattr(request, "experiment_id", "")
        return [*request.experiment_ids, one] if one else request.experiment_ids
    if hasattr(request, "locations"):
        uris = [location.mlflow_experiment for location in request.locations if location.mlflow_experiment]
        return [each.experiment_id for each in uris if each.experiment_id]
    return [request.experiment_id] if request.experiment_id else []


def only_run(access: Access, request: Any) -> str:
    """Return the run that the request names if its access depends on that run alone, else ""."""
    if access.target is AccessTarget.RUN:
        return _run_id(request)
    if access.target is AccessTarget.LOGGED_METRICS and not _model_ids(request):
        return str(request.run_id)
    return ""


def _run_id(request: Any) -> str:
    """Return the run of the request, "" if it names none, which the handler rejects. An upload has it in its query."""
    run_id: str = request.run_id if hasattr(request, "run_id") else request.query.get("run_uuid", [""])[-1]
    return run_id


def _model_ids(request: Any) -> list[str]:
    """Return the logged models that a log request names: of one metric, of its metrics, or as inputs or outputs."""
    named = {item.model_id for field in ("metrics", "models") for item in getattr(request, field, ())}
    named.add(getattr(request, "model_id", ""))
    named.discard("")
    return sorted(named)


def _on_becoming_another(model: Key, access: Access, request: Any) -> list[Requirement]:
    """Return what a new name or type of a registered model needs: as much as its creation.

    The tag that makes it a prompt, or a model again, changes whose grants count. That also needs as much as a deletion.
    """
    resource_type, name = model
    new_name = getattr(request, "new_name", name)
    if access == REGISTERED_MODEL_EDIT and getattr(request, "key", "") == IS_PROMPT_TAG:
        new_type = "prompt" if is_prompt(getattr(request, "value", "")) else "registered_model"
        if new_type != resource_type:
            return [
                *requirements(REGISTERED_MODEL_DELETE.needs, model),
                Requirement(Action.CREATE, ((new_type, name),)),
            ]
    return [Requirement(Action.CREATE, ((resource_type, new_name),))] if new_name != name else []


def _type_of_tags(tags: Iterable[Any]) -> str:
    values = {tag.key: tag.value for tag in tags}
    return "prompt" if is_prompt(values.get(IS_PROMPT_TAG)) else "registered_model"


class _ExperimentIds:
    """The experiments of runs or of logged models, the last used in a cache."""

    def __init__(self, db: Db, table: str, column: str) -> None:
        self._db = db
        self._sql = f"SELECT {column}, CAST(experiment_id AS TEXT) FROM {table} WHERE {column} = ANY($1)"  # noqa: S608 (constants)
        self._cached: dict[str, str] = {}

    async def of(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the experiment id of each, without those that do not exist."""
        found = {one: self._cached[one] for one in ids if one in self._cached}
        missing = [one for one in set(ids) if one not in found]
        if missing:
            loaded = {row[0]: row[1] for row in await self._db.fetch(self._sql, missing)}
            found |= loaded
            self._cached |= loaded
            while len(self._cached) > CACHED_IDS:
                del self._cached[next(iter(self._cached))]
        return found
