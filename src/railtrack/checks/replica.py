"""The check of the read replica by `railtrack doctor`."""

from railtrack.checks import Finding, ok, warning
from railtrack.checks.start import replica_url
from railtrack.config.settings import Settings
from railtrack.db.open import open_database
from railtrack.db.read_replica import UNRELATED, read_positions
from railtrack.db.url import parse_database_url
from railtrack.errors import ApiError, StartError


async def check_replica(settings: Settings) -> list[Finding]:
    """Check that the read replica can be reached and follows the backend store. The server works without it, too."""
    try:
        url = parse_database_url(settings.database.uri)
        replica = replica_url(settings, url)
    except StartError:  # it is reported with the settings
        return []
    if replica is None:
        return []
    databases = open_database(url, connections=1), open_database(replica, connections=1, read_only=True)
    try:
        positions = await read_positions(*databases)
    except ApiError as error:
        return [warning("read replica", f"{replica.masked}: {error.message} Reads go to the backend store.")]
    finally:
        for database in databases:
            await database.close()
    if positions is None:
        return [warning("read replica", f"{replica.masked}: {UNRELATED}. Reads go to the backend store.")]
    return [ok("read replica", f"{replica.masked}, {max(positions.primary - positions.replica, 0):,} bytes behind")]
