"""Webhooks: created, tested, delivered, changed and deleted with the client's methods."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from mlflow import MlflowClient

from scenario.registry import rejected, step, unique

SECRET = "s3cret"


@step(since=(3, 3))
def a_webhook_is_created_tested_delivered_changed_and_deleted() -> None:
    client = MlflowClient()
    received: queue.Queue[tuple[Any, bytes]] = queue.Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.put((self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        name = unique("hook")
        hook = client.create_webhook(name, url, ["registered_model.created", "prompt.created"], secret=SECRET)
        assert client.get_webhook(hook.webhook_id).name == name
        assert hook.webhook_id in [one.webhook_id for one in client.list_webhooks()]
        result = client.test_webhook(hook.webhook_id, "registered_model.created")
        assert (result.success, result.response_status) == (True, 200)
        assert _verified(*received.get(timeout=30))["data"]["name"] == "example_model"

        model = unique("model")
        client.create_registered_model(model)
        assert _verified(*received.get(timeout=30))["data"]["name"] == model

        changed = client.update_webhook(hook.webhook_id, name=f"{name}-2", status="DISABLED")
        assert (changed.name, str(changed.status)) == (f"{name}-2", "DISABLED")
        client.delete_webhook(hook.webhook_id)
        with rejected("RESOURCE_DOES_NOT_EXIST", hook.webhook_id):
            client.get_webhook(hook.webhook_id)
        client.delete_registered_model(model)
    finally:
        server.shutdown()
        server.server_close()


def _verified(headers: Any, body: bytes) -> Any:
    """Check the signature and return the payload."""
    signed = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["X-MLflow-Signature"] == f"v1,{digest}"
    return json.loads(body)
