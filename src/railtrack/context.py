"""What a handler may use: the database, the artifact stores, the webhooks, the settings and the HTTP request."""

import msgspec

from railtrack.artifacts import ArtifactStores
from railtrack.auth import Policy
from railtrack.auth.authenticator import Authenticator
from railtrack.auth.grants import GrantsCache
from railtrack.auth.identity import Identity
from railtrack.config.settings import Settings
from railtrack.db import Db
from railtrack.db.group_commit import E, GroupCommit, GroupCommits, WriteGroup
from railtrack.prometheus.counters import WorkerCounters
from railtrack.webhooks.delivery import Webhooks
from railtrack.wire.request import HttpRequest


class Context(msgspec.Struct, frozen=True):
    """Created for every request.

    `counters` is None unless a setting enables metrics. `policy` and `authenticator` are None on a server that is open
    to everyone, and so are `identity` and `grants`; `identity` is None for public endpoints, too.
    """

    db: Db
    group_commits: GroupCommits
    artifacts: ArtifactStores
    webhooks: Webhooks
    settings: Settings
    http: HttpRequest
    counters: WorkerCounters | None = None
    policy: Policy | None = None
    authenticator: Authenticator | None = None
    identity: Identity | None = None
    grants: GrantsCache | None = None

    def grouped(self, write: WriteGroup[E]) -> GroupCommit[E]:
        """Return the group commit that writes with `write`: `await ctx.grouped(write_entries).submit(entry)`."""
        return self.group_commits.of(write)
