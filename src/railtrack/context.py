"""What a handler may use: the database, the artifact stores, the settings, and the request as it came."""

from dataclasses import dataclass

from railtrack.artifacts import ArtifactStores
from railtrack.config import Settings
from railtrack.db import Db
from railtrack.wire.request import HttpRequest


@dataclass(frozen=True, slots=True)
class Context:
    """Made anew for every request."""

    db: Db
    artifacts: ArtifactStores
    settings: Settings
    http: HttpRequest
