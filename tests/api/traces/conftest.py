"""An experiment, and what the tests of traces send to it."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from tests.client import Client, Response
from tests.otlp import PROTOBUF, TRACE, Span, as_protobuf, export

from railtrack.db import Db

V3 = "/api/3.0/mlflow/traces"
TRACE_ID = f"tr-{TRACE}"


@dataclass(frozen=True)
class Traces:
    """Sends requests about the traces of one experiment."""

    client: Client
    experiment_id: str

    async def export(
        self, *spans: Span, resource: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        return await self.send(as_protobuf(export(*spans, resource=resource)), PROTOBUF, headers)

    async def send(self, body: bytes, media_type: str, headers: Mapping[str, str] | None = None) -> Response:
        sent = {"content-type": media_type, "x-mlflow-experiment-id": self.experiment_id, **(headers or {})}
        return await self.client.send("POST", "/v1/traces", body=body, headers=sent)

    async def start(self, trace_id: str = TRACE_ID, **fields: Any) -> Any:
        """Send an info. A field that is None is omitted."""
        response = await self.client.post(V3, self.new(trace_id, **fields))
        assert response.status == 200, response.text
        return response.json["trace"]["trace_info"]

    def new(self, trace_id: str = TRACE_ID, **fields: Any) -> Any:
        location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": self.experiment_id}}
        info = {
            "trace_id": trace_id,
            "trace_location": location,
            "request_time": "2026-12-01T02:50:22.411Z",
            "execution_duration": "1s",
            "state": "OK",
            **fields,
        }
        return {"trace": {"trace_info": {name: value for name, value in info.items() if value is not None}}}

    async def info(self, trace_id: str = TRACE_ID) -> Any:
        return (await self.client.ok("GET", f"{V3}/{trace_id}"))["trace"]["trace_info"]

    async def spans(self, trace_id: str = TRACE_ID) -> Any:
        """Return the spans as they are stored."""
        answer = await self.client.get("/ajax-api/3.0/mlflow/get-trace-artifact", {"request_id": trace_id})
        assert answer.status == 200, answer.text
        return answer.json["spans"]

    async def search(self, **fields: Any) -> Any:
        location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": self.experiment_id}}
        return await self.client.ok("POST", f"{V3}/search", {"locations": [location], **fields})

    async def stored(self) -> list[str]:
        """Return the ids of all traces of the experiment."""
        return [trace["trace_id"] for trace in (await self.search()).get("traces", ())]


@pytest.fixture
async def traces(client: Client, db: Db) -> AsyncIterator[Traces]:
    experiment = await client.ok("POST", "experiments/create", {"name": "traced"})
    yield Traces(client, experiment["experiment_id"])
    async with db.write() as tx:
        await tx.execute("DELETE FROM trace_info")
