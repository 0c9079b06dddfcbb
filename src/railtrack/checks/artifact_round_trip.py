"""The artifact steps of `railtrack verify`: upload an artifact as clients do, read it from the store, delete it."""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from railtrack.artifacts import ArtifactStores, Location, local_folder
from railtrack.checks.client import UnexpectedResponse, VerifyClient
from railtrack.config.settings import Settings
from railtrack.errors import ApiError

SIZE_BYTES = 300_000
FOLDER = "railtrack verify"
"""Contains a blank, which must be escaped in URLs."""
NAME = "artifact.bin"
PROXY_API = "api/2.0/mlflow-artifacts/artifacts"
BINARY = "application/octet-stream"
UPLOADED = (200, 201, 204)


class StoredArtifact(NamedTuple):
    uri: str
    content: bytes


class _StoreLocation(NamedTuple):
    stores: ArtifactStores
    location: Location
    uri: str


class Obstacle(NamedTuple):
    reason: str
    advice: str


class ArtifactRoundTrip:
    """An artifact in a run's artifact location, sent where a client of MLflow sends it. Default: random bytes."""

    def __init__(self, client: VerifyClient, settings: Settings, artifact_uri: str, content: bytes = b"") -> None:
        self.folder, self.path = FOLDER, f"{FOLDER}/{NAME}"
        self.content = content or os.urandom(SIZE_BYTES)
        self.transfer = ""
        """A description of how the artifact was uploaded."""
        self.advice = ""
        """What to do if the server does not have the artifact."""
        self._client = client
        self._settings = settings
        self._uri = artifact_uri
        self._scheme = urlsplit(artifact_uri).scheme
        folder = local_folder(artifact_uri)
        self._local = Path(folder) if folder else None
        self._existing = Path("/")
        """The folder on this machine in which all below was created."""
        self._is_uploaded = False

    def obstacle(self) -> Obstacle | None:
        """Return why this machine cannot upload to the location, None if it can."""
        if self._scheme == "s3":
            try:
                self._stores().check_credentials()
            except ApiError as error:
                return Obstacle(
                    error.message,
                    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_S3_ENDPOINT_URL) as for your clients.",
                )
        elif self._local is None and self._upload_url() is None:
            return Obstacle(
                f"The server can't read locations with the scheme {self._scheme!r}, so its page shows no artifacts.",
                "Set MLFLOW_DEFAULT_ARTIFACT_ROOT to mlflow-artifacts:/ or s3://bucket/prefix.",
            )
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
        elif self._local is not None:
            self.transfer = f"to {self._local} on this machine"
            self.advice = (
                f"Each client writes artifacts to {self._local} on its machine. Set "
                "MLFLOW_DEFAULT_ARTIFACT_ROOT=mlflow-artifacts:/, so that clients upload through the server, and "
                "MLFLOW_ARTIFACTS_DESTINATION to the folder."
            )
            self._write(self._local / self.path)
        else:
            await self._put(self._upload_url() or "")

    async def _put(self, url: str) -> None:
        self.transfer = "through the server"
        if self._client.path_of(url) is None:
            self.transfer = f"to {url}"
            self.advice = (
                f"The artifact root sends clients to {url}, but the server shows what is in its own artifact store. "
                "Set MLFLOW_DEFAULT_ARTIFACT_ROOT=mlflow-artifacts:/."
            )
        client = self._client.at(url)
        try:
            response = await client.send("PUT", quote(self.path), None, self.content, BINARY)
        finally:
            client.close()
        if response.status not in UPLOADED:
            advice = self.advice or "Check the server's log, and `railtrack doctor`."
            raise UnexpectedResponse(f"The server rejected the artifact: {response}", advice)

    def _write(self, path: Path) -> None:
        self._existing = next(folder for folder in path.parents if folder.exists())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.content)
        except OSError as error:
            self._is_uploaded = False
            with suppress(OSError):
                self._remove(path.parent)
            raise UnexpectedResponse(
                f"A client here can't write to {path.parent}: {error.strerror}", self.advice
            ) from None

    def _remove(self, folder: Path) -> None:
        """Remove the artifact, and the folders that it needed if they are empty."""
        (folder / NAME).unlink(missing_ok=True)
        while folder != self._existing:
            with suppress(OSError):  # not empty, or not created
                folder.rmdir()
            folder = folder.parent

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
            elif self._local is not None:
                self._remove(self._local / self.folder)
            elif url := self._upload_url():
                client = self._client.at(url)
                try:
                    response = await client.send("DELETE", quote(self.folder))
                finally:
                    client.close()
                if response.status not in (200, 204, 404):
                    raise UnexpectedResponse(str(response))
        except (UnexpectedResponse, ApiError, OSError) as error:
            return [f"the artifact {self.path} below {self._uri} ({error})"]
        return []

    def _upload_url(self) -> str | None:
        """Return the URL below which clients upload the run's artifacts, None if they use no HTTP."""
        parts = urlsplit(self._uri)
        if self._scheme in ("http", "https"):
            return self._uri
        if self._scheme != "mlflow-artifacts":
            return None
        server = (
            f"{urlsplit(self._client.shown_url).scheme}://{parts.netloc}" if parts.netloc else self._client.shown_url
        )
        return f"{server}/{PROXY_API}/{quote(unquote(parts.path).strip('/'))}"

    def _proxied_path(self) -> str | None:
        """Return the path in the server's artifacts destination, None if the run's artifacts are elsewhere."""
        url = self._upload_url()
        path = self._client.path_of(url) if url else None
        if path is None or not path.startswith(f"{PROXY_API}/"):
            return None
        return f"{unquote(path.removeprefix(f'{PROXY_API}/'))}/{self.path}"

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
