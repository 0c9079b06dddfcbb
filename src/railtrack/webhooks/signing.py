"""The headers of a delivery and MLflow's signature, which covers id, time and payload so that replays are detected."""

import base64
import hashlib
import hmac


def delivery_headers(host: str, payload: bytes, delivery_id: str, secret: str, now_s: int) -> dict[str, str]:
    headers = {
        "Host": host,
        "User-Agent": "railtrack",
        "Accept": "*/*",
        "Connection": "close",
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": delivery_id,
        "X-MLflow-Timestamp": str(now_s),
    }
    if secret:
        headers["X-MLflow-Signature"] = sign(secret, delivery_id, now_s, payload)
    return headers


def sign(secret: str, delivery_id: str, now_s: int, payload: bytes) -> str:
    signed = f"{delivery_id}.{now_s}.".encode() + payload
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
