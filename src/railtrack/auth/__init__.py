"""The access that a route requires, and the interface of the policy that decides who has it.

Every endpoint declares its access, or the server does not start. A server without login has no policy. The permission
model is MLflow's: what each route requires was read off the basic-auth app of MLflow 3.17.2.
"""

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from railtrack.artifacts import Location
    from railtrack.auth.grants import ReadFilter


class Action(Enum):
    """What a grant permits. CREATE and NOT_DENIED are permitted unless the grant that decides is DENY.

    NOT_DENIED is on what a request reads or changes as well; a token that may only read does not permit CREATE.
    """

    READ = "read"
    USE = "use"
    EDIT = "update"
    DELETE = "delete"
    MANAGE = "manage"
    CREATE = "create"
    NOT_DENIED = "not denied"


class Need(NamedTuple):
    """An action on a resource. A grant on all resources of type `part`, if there is one, decides before the resource's.

    Runs, logged models, traces and assessments are parts of experiments, versions are parts of registered models.
    """

    action: Action
    part: str = ""
    is_either: bool = False
    """Whether the action on the resource suffices, whatever the grant on all resources of the type is."""
    without_part: Action | None = None
    """The action that is needed on the resource without a grant on all resources of the type, if it is another one."""


class AccessTarget(Enum):
    """Which resource a request names. auth/targets.py finds it."""

    NONE = "none"
    ACCOUNT = "account"
    """The user's own account. Nothing is needed, not even that the user has changed its one-time password."""
    ACCESS = "users, roles and grants"
    """The handler decides who may do what (api/users/queries.py)."""
    ADMINISTRATION = "administration"
    EXPERIMENT = "experiment"
    EXPERIMENTS = "experiments"
    LISTED_EXPERIMENTS = "listed experiments"
    """Those of the request that may not be read are ignored."""
    NEW_EXPERIMENT = "experiment (new)"
    TRACE = "experiment of the trace"
    DATASET = "experiments of the evaluation dataset"
    """To read it, one of them suffices. Without any, the default permission decides."""
    SCORER = "scorer"
    ISSUE = "experiment of the issue"
    LABEL_SCHEMA = "experiment of the label schema"
    REVIEW_QUEUE = "experiment of the review queue"
    NEW_DATASET = "experiments of the new evaluation dataset"
    RUN = "experiment of the run"
    RUNS = "experiments of the runs"
    LOGGED_METRICS = "experiments of the run and the logged models"
    LOGGED_MODEL = "experiment of the logged model"
    NEW_LOGGED_MODEL = "experiment and source run of the logged model"
    RUN_OR_LOGGED_MODEL = "experiment of the run or logged model"
    TRACES = "experiments of the traces"
    """Those that may not be read are left out by the handler, as if they did not exist."""
    NEW_SPANS = "experiment of the spans"
    """The one that a header names."""
    TRACES_OF_RUN = "experiments of the run and the traces"
    REGISTERED_MODEL = "registered model"
    NEW_REGISTERED_MODEL = "registered model (new)"
    NEW_MODEL_VERSION = "registered model and source of the version"
    ARTIFACT = "artifact"
    """The handler finds it, by the key that the store opens (api/artifacts/access.py)."""


class Access(NamedTuple):
    """What a request needs on its target. `is_public`: no login is required."""

    target: AccessTarget = AccessTarget.NONE
    needs: tuple[Need, ...] = ()
    is_public: bool = False

    def describe(self) -> str:
        """Return the access as the documentation shows it: "read experiment, update run"."""
        if self.is_public:
            return "none"
        if self.target in (AccessTarget.NONE, AccessTarget.ACCOUNT, AccessTarget.ACCESS):
            return "signed in"
        if self.target is AccessTarget.ADMINISTRATION:
            return "administrator"
        if self.target is AccessTarget.LISTED_EXPERIMENTS:
            return "read listed experiments"
        needs = self.needs or (Need(Action.CREATE),)
        return ", ".join(self._describe(need) for need in needs)

    def _describe(self, need: Need) -> str:
        target = (need.part or self.target.value).replace("_", " ")
        if need.is_either and need.part:
            return f"{need.action.value} {self.target.value} or {target}"
        return f"{need.action.value} {target}"


class Policy(Protocol):
    async def check(self, access: Access, context: Any, request: Any) -> None:
        """Raise PERMISSION_DENIED unless the caller has this access to what the request names."""

    async def check_artifact(self, access: Access, context: Any, location: "Location") -> None:
        """Raise PERMISSION_DENIED unless the caller has this access to the artifact at the location."""

    async def check_source_file(self, access: Access, context: Any, source: "Location", file: "Location") -> None:
        """Raise PERMISSION_DENIED unless who has access to a model version's source may access this file below it."""

    async def check_new_location(self, tx: Any, context: Any, location: "Location") -> None:
        """Raise PERMISSION_DENIED if a new experiment's artifacts would mix with those of other experiments."""

    async def is_denied(self, context: Any, part: str) -> bool:
        """Return whether a DENY of the caller is on all resources of the type `part`, such as runs."""

    async def read_filter(self, context: Any, resource_type: str, part: str = "") -> "ReadFilter":
        """Return which resources of a type the caller may read: none of them if it is denied every `part`."""


def _in_run(action: Action) -> tuple[Need, ...]:
    return Need(Action.READ), Need(action, "run")


def _in_logged_model(action: Action) -> tuple[Need, ...]:
    return Need(Action.READ), Need(action, "logged_model")


def _in_trace(need: Need) -> tuple[Need, ...]:
    return Need(Action.READ), Need(Action.READ, "trace"), need


VERSION = "version"
"""The part `registered_model_version` or `prompt_version`, by the type of the registered model."""

PUBLIC = Access(is_public=True)
SIGNED_IN = Access()
ACCOUNT = Access(AccessTarget.ACCOUNT)
ACCESS = Access(AccessTarget.ACCESS)
ADMINISTRATION = Access(AccessTarget.ADMINISTRATION)
METRICS_READ = Access(AccessTarget.ADMINISTRATION, (Need(Action.READ),))
"""For administrators, and for who has the token of the setting (auth/metrics_token.py)."""

EXPERIMENT_CREATE = Access(AccessTarget.NEW_EXPERIMENT)
EXPERIMENT_READ = Access(AccessTarget.EXPERIMENT, (Need(Action.READ),))
EXPERIMENT_EDIT = Access(AccessTarget.EXPERIMENT, (Need(Action.EDIT),))
EXPERIMENT_DELETE = Access(
    AccessTarget.EXPERIMENT,
    (
        Need(Action.DELETE),
        *(
            Need(Action.DELETE, part)
            for part in ("run", "trace", "logged_model", "assessment", "review_queue", "scorer", "scorer_version")
        ),
    ),
)
EXPERIMENTS_READ = Access(AccessTarget.EXPERIMENTS, (Need(Action.READ),))
RUNS_SEARCH = Access(AccessTarget.LISTED_EXPERIMENTS, (Need(Action.NOT_DENIED, "run"),))
LOGGED_MODELS_SEARCH = Access(AccessTarget.LISTED_EXPERIMENTS, (Need(Action.NOT_DENIED, "logged_model"),))

ASSESSMENT_CREATE = Access(
    AccessTarget.TRACE,
    (
        Need(Action.READ),
        Need(Action.READ, "trace"),
        Need(Action.NOT_DENIED, "assessment"),
        Need(Action.EDIT, "trace", is_either=True),
    ),
)
ASSESSMENT_READ = Access(AccessTarget.TRACE, _in_trace(Need(Action.READ, "assessment")))
ASSESSMENT_EDIT = Access(AccessTarget.TRACE, _in_trace(Need(Action.EDIT, "assessment")))
ASSESSMENT_DELETE = Access(AccessTarget.TRACE, _in_trace(Need(Action.DELETE, "assessment", without_part=Action.EDIT)))

DATASET_CREATE = Access(AccessTarget.NEW_DATASET, (Need(Action.EDIT),))
DATASET_READ = Access(AccessTarget.DATASET, (Need(Action.READ, is_either=True),))
DATASET_EDIT = Access(AccessTarget.DATASET, (Need(Action.EDIT),))
DATASET_DELETE = Access(AccessTarget.DATASET, (Need(Action.DELETE),))

SCORER_REGISTER = Access(
    AccessTarget.SCORER,
    (Need(Action.EDIT, "experiment"), Need(Action.NOT_DENIED), Need(Action.NOT_DENIED, "scorer_version")),
)
SCORER_READ = Access(AccessTarget.SCORER, (Need(Action.READ), Need(Action.NOT_DENIED, "scorer_version")))
SCORER_DELETE = Access(AccessTarget.SCORER, (Need(Action.DELETE), Need(Action.DELETE, "scorer_version")))

LABEL_SCHEMA_CREATE = Access(AccessTarget.EXPERIMENT, (Need(Action.MANAGE),))
LABEL_SCHEMA_READ = Access(AccessTarget.LABEL_SCHEMA, (Need(Action.READ),))
LABEL_SCHEMA_EDIT = Access(AccessTarget.LABEL_SCHEMA, (Need(Action.MANAGE),))
QUEUE_CREATE = Access(AccessTarget.EXPERIMENT, (Need(Action.EDIT), Need(Action.CREATE, "review_queue")))
QUEUES_READ = Access(AccessTarget.EXPERIMENT, (Need(Action.READ), Need(Action.READ, "review_queue")))
QUEUE_READ = Access(AccessTarget.REVIEW_QUEUE, (Need(Action.READ), Need(Action.READ, "review_queue")))
"""Which queues a caller sees, the handlers find out: as a manager, an owner or a member."""
QUEUE_EDIT = Access(AccessTarget.REVIEW_QUEUE, (Need(Action.READ), Need(Action.EDIT, "review_queue")))
ISSUE_READ = Access(AccessTarget.ISSUE, (Need(Action.READ),))
ISSUE_EDIT = Access(AccessTarget.ISSUE, (Need(Action.EDIT),))

RUN_CREATE = Access(AccessTarget.EXPERIMENT, (Need(Action.EDIT), Need(Action.CREATE, "run")))
RUN_READ = Access(AccessTarget.RUN, _in_run(Action.READ))
RUN_EDIT = Access(AccessTarget.RUN, _in_run(Action.EDIT))
RUN_DELETE = Access(AccessTarget.RUN, _in_run(Action.DELETE))
RUNS_READ = Access(AccessTarget.RUNS, _in_run(Action.READ))
RUN_LOG = Access(AccessTarget.LOGGED_METRICS, _in_run(Action.EDIT))
RUN_OR_LOGGED_MODEL_EDIT = Access(AccessTarget.RUN_OR_LOGGED_MODEL, (Need(Action.EDIT),))

TRACE_CREATE = Access(AccessTarget.EXPERIMENT, (Need(Action.EDIT), Need(Action.CREATE, "trace")))
SPANS_CREATE = Access(AccessTarget.NEW_SPANS, (Need(Action.EDIT), Need(Action.CREATE, "trace")))
READ_TRACES = (Need(Action.READ), Need(Action.READ, "trace"))
TRACE_READ = Access(AccessTarget.TRACE, READ_TRACES)
TRACE_EDIT = Access(AccessTarget.TRACE, (Need(Action.READ), Need(Action.EDIT, "trace")))
TRACES_READ = Access(AccessTarget.TRACES, READ_TRACES)
TRACES_SEARCH = Access(AccessTarget.EXPERIMENTS, READ_TRACES)
TRACES_DELETE = Access(
    AccessTarget.EXPERIMENT,
    (
        Need(Action.READ),
        Need(Action.DELETE, "trace"),
        Need(Action.DELETE, "assessment", without_part=Action.EDIT),
    ),
)
TRACES_LINK = Access(AccessTarget.TRACES_OF_RUN, _in_run(Action.EDIT))

LOGGED_MODEL_CREATE = Access(AccessTarget.NEW_LOGGED_MODEL, (Need(Action.EDIT), Need(Action.CREATE, "logged_model")))
LOGGED_MODEL_READ = Access(AccessTarget.LOGGED_MODEL, _in_logged_model(Action.READ))
LOGGED_MODEL_EDIT = Access(AccessTarget.LOGGED_MODEL, _in_logged_model(Action.EDIT))
LOGGED_MODEL_DELETE = Access(AccessTarget.LOGGED_MODEL, _in_logged_model(Action.DELETE))

REGISTERED_MODEL_CREATE = Access(AccessTarget.NEW_REGISTERED_MODEL)
REGISTERED_MODEL_READ = Access(AccessTarget.REGISTERED_MODEL, (Need(Action.READ),))
REGISTERED_MODEL_EDIT = Access(AccessTarget.REGISTERED_MODEL, (Need(Action.EDIT),))
REGISTERED_MODEL_DELETE = Access(AccessTarget.REGISTERED_MODEL, (Need(Action.DELETE), Need(Action.DELETE, VERSION)))
ALIAS_SET = Access(AccessTarget.REGISTERED_MODEL, (Need(Action.EDIT), Need(Action.READ, VERSION)))
ALIAS_DELETE = Access(AccessTarget.REGISTERED_MODEL, (Need(Action.DELETE), Need(Action.READ, VERSION)))
MODEL_VERSION_CREATE = Access(AccessTarget.NEW_MODEL_VERSION, (Need(Action.EDIT), Need(Action.CREATE, VERSION)))
MODEL_VERSION_READ = Access(AccessTarget.REGISTERED_MODEL, (Need(Action.READ), Need(Action.NOT_DENIED, VERSION)))
MODEL_VERSION_EDIT = Access(AccessTarget.REGISTERED_MODEL, (Need(Action.READ), Need(Action.EDIT, VERSION)))
MODEL_VERSION_DELETE = Access(AccessTarget.REGISTERED_MODEL, (Need(Action.READ), Need(Action.DELETE, VERSION)))

ARTIFACT_READ = Access(AccessTarget.ARTIFACT, (Need(Action.READ),))
ARTIFACT_EDIT = Access(AccessTarget.ARTIFACT, (Need(Action.EDIT),))
ARTIFACT_DELETE = Access(AccessTarget.ARTIFACT, (Need(Action.MANAGE),))
