"""The way of one artifact of `railtrack verify`: into the store as the run's clients would send it, and out again."""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from urllib.parse import quote, unquote, urlsplit

from railtrack.artifacts import PROXY, ArtifactStores, Location
from railtrack.checks.client import Client, Unexpected
from railtrack.config.settings import Settings
from railtrack.errors import ApiError

BYTES = 300_000
FOLDER = "railtrack verify"
"""With a blank, which must be escaped on every way."""
NAME = "artifact.bin"
PROXY_API = "api/2.0/mlflow-artifacts/artifacts"
BINARY = "application/octet-stream"


class ArtifactTrip:
    """Of a run's artifact location it follows which way is taken: through the server, or past it with own keys."""

    def __init__(self, client: Client, settings: Settings, run_id: str, artifact_uri: str) -> None:
        self.folder, self.path = FOLDER, f"{FOLDER}/{NAME}"
        self.content = os.urandom(BYTES)
        self.way = ""
        self._client = client
        self._settings = settings
        self._run_id = run_id
        self._uri = artifact_uri
        self._scheme = urlsplit(artifact_uri).scheme
        self._sent = False

    def lacks(self) -> str | None:
        """Why it cannot be sent from here: keys that only a client has."""
        if self._scheme != "s3":
            return None
        try:
            self._stores().check_credentials()
        except ApiError as error:
            return error.message
        return None

    async def upload(self) -> None:
        """Raises Unexpected or ApiError."""
        self._sent = True
        if self._scheme == "s3":
            self.way = f"straight to {self._uri}"
            await self._in_s3(self._uri, self.path)
            return
        if proxied := self._proxied():
            self.way = "through the server"
            answer = await self._client.send("PUT", f"{PROXY_API}/{quote(proxied)}", None, self.content, BINARY)
        else:  # a folder of the server's machine: as the web page sends a file
            self.way = "through the server, as its page sends a file"
            asked = {"run_uuid": self._run_id, "path": self.path}
            answer = await self._client.send("POST", "ajax-api/2.0/mlflow/upload-artifact", asked, self.content, BINARY)
        if answer.status != 200:
            raise Unexpected(f"The artifact is refused: {answer}", "Check the server's log, and `railtrack doctor`.")

    async def look_into_store(self) -> tuple[str, bytes] | None:
        """The object's address and bytes, straight from the store; None when there are no keys, or it is a folder."""
        place = self._own_place()
        if place is None:
            return None
        stores, location, shown = place
        try:
            artifact = await location.store.open(location.key)
            async with aclosing(artifact.chunks(0, artifact.size)) as chunks:
                return shown, b"".join([chunk async for chunk in chunks])
        finally:
            stores.close()

    async def remove(self) -> list[str]:
        """Delete it where a client can. Returns what is left behind, in words."""
        if not self._sent:
            return []
        try:
            if self._scheme == "s3":
                await self._out_of_s3()
            elif proxied := self._proxied():
                folder = quote(proxied.removesuffix(f"/{NAME}"))
                answer = await self._client.send("DELETE", f"{PROXY_API}/{folder}")
                if answer.status not in (200, 204, 404):
                    raise Unexpected(str(answer))
            else:
                return [f"the artifact below {self._uri}, which only the server's machine can delete"]
        except (Unexpected, ApiError) as error:
            return [f"the artifact {self.path} below {self._uri} ({error})"]
        return []

    def _proxied(self) -> str | None:
        """The path below the artifact proxy, None when the run's artifacts are not kept by it."""
        parts = urlsplit(self._uri)
        if self._scheme == "mlflow-artifacts":
            return f"{unquote(parts.path).strip('/')}/{self.path}"
        if self._scheme in ("http", "https") and PROXY in parts.path:
            return f"{unquote(parts.path.partition(PROXY)[2]).strip('/')}/{self.path}"
        return None

    def _stores(self) -> ArtifactStores:
        """With the run's own location as one that is served."""
        return ArtifactStores(
            replace(self._settings, artifacts=replace(self._settings.artifacts, default_root=self._uri, locations=()))
        )

    def _own_place(self) -> tuple[ArtifactStores, Location, str] | None:
        """Where the artifact is for one who has keys: below the run's location, or the proxy's destination."""
        destination = self._settings.artifacts.destination
        proxied = self._proxied()
        if self._scheme != "s3" and not (proxied and destination.startswith("s3://")):
            return None
        stores = self._stores() if self._scheme == "s3" else ArtifactStores(self._settings)
        try:
            stores.check_credentials()
        except ApiError:
            return None
        if self._scheme == "s3":
            return stores, stores.locate(self._uri, self.path), f"{self._uri}/{self.path}"
        return stores, stores.proxied(proxied or ""), f"{destination.rstrip('/')}/{proxied}"

    async def _in_s3(self, uri: str, path: str) -> None:
        stores = self._stores()
        try:
            location = stores.locate(uri, path)
            await location.store.put(location.key, self._chunks())
        finally:
            stores.close()

    async def _out_of_s3(self) -> None:
        stores = self._stores()
        try:
            location = stores.locate(self._uri, self.folder)
            await location.store.delete(location.key)
        finally:
            stores.close()

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        yield self.content
