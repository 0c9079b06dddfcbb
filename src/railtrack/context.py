"""What a handler may use: the database, the artifact stores, the webhooks, the settings, and the request as it came."""

from typing import Any

import msgspec

from railtrack.artifacts import ArtifactStores
from railtrack.config.settings import Settings
from railtrack.db import Db
from railtrack.db.group_commit import GroupCommit
from railtrack.prometheus.counters import WorkerCounts
from railtrack.webhooks.delivery import Webhooks
from railtrack.wire.request import HttpRequest


class Context(msgspec.Struct, frozen=True):
    """Made anew for every request. `log_writes` and `run_creations` commit what many requests write at once; `counts`:
    None unless a setting asks for metrics."""

    db: Db
    log_writes: GroupCommit[Any]
    run_creations: GroupCommit[Any]
    artifacts: ArtifactStores
    webhooks: Webhooks
    settings: Settings
    http: HttpRequest
    counts: WorkerCounts | None = None
