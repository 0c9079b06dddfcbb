"""The artifact steps of `railtrack verify`: upload an artifact as the run's clients would, read it from the store, and
delete it.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from railtrack.artifacts import PROXY, ArtifactStores, Location
from railtrack.checks.client import UnexpectedResponse, VerifyClient
from railtrack.config.settings import Settings
from railtrack.errors import ApiError

SIZE_BYTES = 300_000
FOLDER = "railtrack verify"
"""Contains a blank, which must be escaped in URLs."""
NAME = "artifact.bin"
PROXY_API = "api/2.0/mlflow-artifacts/artifacts"
BINARY = "application/octet-stream"


class StoredArtifact(NamedTuple):
    uri: str
    content: bytes


class _StoreLocation(NamedTuple):
    stores: ArtifactStores
    location: Location
    uri: str


class ArtifactRoundTrip:
    """An artifact of random bytes in a run's artifact location, sent through the server or directly to the store."""

    def __init__(self, client: VerifyClient, settings: Settings, run_id: str, artifact_uri: str) -> None:
        self.folder, self.path = FOLDER, f"{FOLDER}/{NAME}"
        self.content = os.urandom(SIZE_BYTES)
        self.transfer = ""
        """A description of how the artifact was uploaded."""
        self._client = client
        self._settings = settings
        self._run_id = run_id
        self._uri = artifact_uri
        self._scheme = urlsplit(artifact_uri).scheme
        self._is_uploaded = False

    def missing_credentials(self) -> str | None:
        """Return the reason why this machine cannot upload to the location, None if it can."""
        if self._scheme != "s3":
            return None
        try:
            self._stores().check_credentials()
        except ApiError as error:
            return error.message
        return None

    async def upload(self) -> None:
        """Upload the artifact. Raise UnexpectedResponse or ApiError."""
        self._is_uploaded = True
        if self._scheme == "s3":
            self.transfer = f"directly to {self._uri}"
            stores = self._stores()
            try:
                location = stores.locate(self._uri, self.path)
                await location.store.put(location.key, self._chunks())
            finally:
                stores.close()
            return
        if proxied := self._proxied_path():
            self.transfer = "through the server"
            response = await self._client.send("PUT", f"{PROXY_API}/{quote(proxied)}", None, self.content, BINARY)
        else:  # a folder on the server's machine: as the web page uploads a file
            self.transfer = "through the server, as its page uploads a file"
            query = {"run_uuid": self._run_id, "path": self.path}
            response = await self._client.send(
                "POST", "ajax-api/2.0/mlflow/upload-artifact", query, self.content, BINARY
            )
        if response.status != 200:
            raise UnexpectedResponse(
                f"The server rejected the artifact: {response}", "Check the server's log, and `railtrack doctor`."
            )

    async def read_from_store(self) -> StoredArtifact | None:
        """Read the artifact directly from the store. Return None without credentials, or if it is not in S3."""
        direct = self._store_location()
        if direct is None:
            return None
        try:
            artifact = await direct.location.store.open(direct.location.key)
            async with aclosing(artifact.chunks(0, artifact.size)) as chunks:
                return StoredArtifact(direct.uri, b"".join([chunk async for chunk in chunks]))
        finally:
            direct.stores.close()

    async def delete(self) -> list[str]:
        """Delete the artifact as a client can. Return descriptions of what is left behind."""
        if not self._is_uploaded:
            return []
        try:
            if self._scheme == "s3":
                stores = self._stores()
                try:
                    location = stores.locate(self._uri, self.folder)
                    await location.store.delete(location.key)
                finally:
                    stores.close()
            elif proxied := self._proxied_path():
                folder = quote(proxied.removesuffix(f"/{NAME}"))
                response = await self._client.send("DELETE", f"{PROXY_API}/{folder}")
                if response.status not in (200, 204, 404):
                    raise UnexpectedResponse(str(response))
            else:
                return [f"the artifact below {self._uri}, which only the server's machine can delete"]
        except (UnexpectedResponse, ApiError) as error:
            return [f"the artifact {self.path} below {self._uri} ({error})"]
        return []

    def _proxied_path(self) -> str | None:
        """Return the path below the artifact proxy, None if the run's artifacts are elsewhere."""
        parts = urlsplit(self._uri)
        if self._scheme == "mlflow-artifacts":
            return f"{unquote(parts.path).strip('/')}/{self.path}"
        if self._scheme in ("http", "https") and PROXY in parts.path:
            return f"{unquote(parts.path.partition(PROXY)[2]).strip('/')}/{self.path}"
        return None

    def _stores(self) -> ArtifactStores:
        """Return stores that serve the run's location."""
        artifacts = replace(self._settings.artifacts, default_root=self._uri, locations=())
        return ArtifactStores(replace(self._settings, artifacts=artifacts))

    def _store_location(self) -> _StoreLocation | None:
        """Return the artifact's location in S3, None if it is elsewhere or credentials are missing."""
        destination = self._settings.artifacts.destination
        proxied = self._proxied_path()
        if self._scheme != "s3" and not (proxied and destination.startswith("s3://")):
            return None
        stores = self._stores() if self._scheme == "s3" else ArtifactStores(self._settings)
        try:
            stores.check_credentials()
        except ApiError:
            return None
        if self._scheme == "s3":
            return _StoreLocation(stores, stores.locate(self._uri, self.path), f"{self._uri}/{self.path}")
        return _StoreLocation(stores, stores.proxied(proxied or ""), f"{destination.rstrip('/')}/{proxied}")

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        yield self.content
