"""The model with the alias champion: its version, links to its files, and predictions."""

import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
import mlflow
import numpy as np
import requests
from botocore.config import Config
from fastapi import HTTPException
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

ALIAS = "champion"
MAX_FILES = 200
LINK_LIFETIME_S = 900
CHUNK_BYTES = 1 << 16
TIMEOUT_S = 60


class NoChampionError(Exception):
    """No version of the model has the alias."""


class Champion:
    def __init__(self, client: MlflowClient, model: str) -> None:
        self._client = client
        self._model = model
        self._lock = threading.Lock()
        self._loaded: tuple[str, Any] | None = None
        """The last version that was used, in memory."""

    def predict(self, images: Sequence[Sequence[float]]) -> tuple[str, list[Any]]:
        """Return the version and its predictions. Loading a model runs its code: see who may register one."""
        number = str(self._version().version)
        try:
            with self._lock:  # two requests must not load the same model twice
                if self._loaded is None or self._loaded[0] != number:
                    self._loaded = number, mlflow.pyfunc.load_model(f"models:/{self._model}@{ALIAS}")
                number, model = self._loaded
            return number, np.asarray(model.predict(np.asarray(images, dtype=float))).tolist()
        except Exception as error:  # any: its packages are missing here, it takes other inputs, or its files are gone
            raise HTTPException(422, f"Version {number} does not predict here: {str(error)[:300]}") from error

    def describe(self) -> dict[str, Any]:
        version = self._version()
        location = self._location(version)
        files = [
            {"path": path, "size_bytes": size, "url": self._link(location, path)}
            for path, size in self._files(location).items()
        ]
        return {"model": self._model, "version": str(version.version), "run_id": version.run_id, "files": files}

    def open(self, path: str) -> tuple[str | None, Iterator[bytes]]:
        """Open a file of a model behind the server. Return its size if it is known, and its content in chunks."""
        location = self._location(self._version())
        if urlsplit(location).scheme != "mlflow-artifacts" or path not in self._files(location):
            raise HTTPException(404, "The model has no such file behind the server.")
        stored = quote(f"{urlsplit(location).path.strip('/')}/{path}")
        response = requests.get(
            f"{mlflow.get_tracking_uri().rstrip('/')}/api/2.0/mlflow-artifacts/artifacts/{stored}",
            headers={"Authorization": f"Bearer {os.environ.get('MLFLOW_TRACKING_TOKEN', '')}"},
            stream=True,
            timeout=TIMEOUT_S,
        )
        if response.status_code != 200:
            response.close()
            raise HTTPException(502, f"The tracking server did not send the file: {response.status_code}")
        return response.headers.get("content-length"), self._chunks(response)

    @staticmethod
    def _chunks(response: requests.Response) -> Iterator[bytes]:
        with response:
            yield from response.iter_content(CHUNK_BYTES)

    def _version(self) -> ModelVersion:
        try:
            return self._client.get_model_version_by_alias(self._model, ALIAS)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED", "INVALID_PARAMETER_VALUE"):
                raise NoChampionError from None
            raise

    def _location(self, version: ModelVersion) -> str:
        return str(self._client.get_model_version_download_uri(self._model, version.version))

    def _files(self, location: str, folder: str = "") -> dict[str, int]:
        found: dict[str, int] = {}
        for file in mlflow.artifacts.list_artifacts(artifact_uri=f"{location}/{folder}" if folder else location):
            name = file.path.rpartition("/")[2]  # the rest repeats the end of the location
            path = f"{folder}/{name}" if folder else name
            if len(found) >= MAX_FILES:
                break
            found |= self._files(location, path) if file.is_dir else {path: file.file_size or 0}
        return found

    def _link(self, location: str, path: str) -> str:
        """Return a link for a browser: a presigned one to the bucket, or to this backend, which has the token."""
        parts = urlsplit(location)
        if parts.scheme != "s3":
            return f"/api/champion/files/{quote(path)}"
        s3 = boto3.client(
            "s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL"), config=Config(signature_version="s3v4")
        )
        key = f"{parts.path.strip('/')}/{path}"
        return str(
            s3.generate_presigned_url(
                "get_object", Params={"Bucket": parts.netloc, "Key": key}, ExpiresIn=LINK_LIFETIME_S
            )
        )
