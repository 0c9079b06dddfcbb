"""What a handler may use: the database, the artifact stores, the webhooks, the settings and the HTTP request."""

from typing import Any

import msgspec

from railtrack.artifacts import ArtifactStores
from railtrack.auth import Policy
from railtrack.config.settings import Settings
from railtrack.db import Db
from railtrack.db.group_commit import GroupCommit
from railtrack.prometheus.counters import WorkerCounts
from railtrack.webhooks.delivery import Webhooks
from railtrack.wire.request import HttpRequest


class Context(msgspec.Struct, frozen=True):
    """Created for every request. `log_writes` and `run_creations` commit the writes of many requests at once. `counts`
    is None unless a setting asks for metrics, `policy` is None on a server that is open to everyone."""

    db: Db
    log_writes: GroupCommit[Any]
    run_creations: GroupCommit[Any]
    artifacts: ArtifactStores
    webhooks: Webhooks
    settings: Settings
    http: HttpRequest
    counts: WorkerCounts | None = None
    policy: Policy | None = None
