"""One delivery attempt: the request that the receiver gets, and the result for each kind of response or failure."""

import base64
import hashlib
import hmac
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.servers.processes import free_port
from tests.servers.webhook_receiver import Reply, receiving

from railtrack.errors import ApiError
from railtrack.webhooks.sender import RESPONSE_BYTES_READ, DeliveryResult, WebhookSender

UNRESTRICTED = WebhookSender(("http", "https"), allow_private=True, timeout_s=20)
DEFAULT = WebhookSender(("https",), allow_private=False, timeout_s=20)
PAYLOAD = b'{"entity": "registered_model"}'


async def send(url: str, sender: WebhookSender = UNRESTRICTED, secret: str = "") -> DeliveryResult:
    return await sender.send(url, PAYLOAD, "delivery-1", secret)


async def test_the_receiver_gets_the_payload_with_mlflows_signature() -> None:
    with receiving() as receiver:
        before = int(time.time())
        result = await send(f"{receiver.url}/a%20b/c?d=e f&g=한#part".replace(" ", "%20"), secret="비밀")
        received = receiver.next()
    assert result == DeliveryResult(200, "thanks")
    assert result.is_delivered
    assert received.path == "/a%20b/c?d=e%20f&g=%ED%95%9C"
    assert received.body == PAYLOAD
    assert received.headers["content-type"] == "application/json"
    assert received.headers["host"] == receiver.url.removeprefix("http://")
    assert received.delivery_id == "delivery-1"
    stamp = received.headers["x-mlflow-timestamp"]
    assert before <= int(stamp) <= time.time()
    # The documented rule: HMAC-SHA256 of id, timestamp and body joined by dots.
    expected = hmac.new("비밀".encode(), f"delivery-1.{stamp}.".encode() + PAYLOAD, hashlib.sha256).digest()
    assert received.headers["x-mlflow-signature"] == f"v1,{base64.b64encode(expected).decode()}"


async def test_without_a_secret_there_is_no_signature() -> None:
    with receiving() as receiver:
        await send(receiver.url)
        assert "x-mlflow-signature" not in receiver.next().headers


async def test_credentials_in_the_url_are_sent_as_basic_authorization() -> None:
    with receiving() as receiver:
        await send(receiver.url.replace("://", "://me:p%40ss@"))
        assert receiver.next().headers["authorization"] == f"Basic {base64.b64encode(b'me:p@ss').decode()}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    with receiving() as other, receiving() as receiver:
        receiver.replies = [Reply(status, headers={"location": other.url})]
        result = await send(receiver.url)
        assert (result.status, result.is_delivered, result.is_retryable) == (status, False, False)
        assert other.received.empty()


@pytest.mark.parametrize(
    ("status", "is_retryable"),
    [(400, False), (401, False), (404, False), (410, False), (429, True), (500, True), (502, True), (503, True)],
)
async def test_only_throttling_and_server_errors_are_retryable(status: int, is_retryable: bool) -> None:
    with receiving() as receiver:
        receiver.replies = [Reply(status, b"no")]
        result = await send(receiver.url)
    assert (result.status, result.body, result.is_delivered, result.is_retryable) == (status, "no", False, is_retryable)


@pytest.mark.parametrize("header", ["7", "soon", "-1", "9" * 40, "1e3", ""])
async def test_an_invalid_retry_after_is_ignored(header: str) -> None:
    with receiving() as receiver:
        receiver.replies = [Reply(503, headers={"retry-after": header})]
        result = await send(receiver.url)
    assert result.retry_after_s == (7 if header == "7" else None)


async def test_retry_after_may_be_a_date() -> None:
    then = datetime.now(UTC) + timedelta(seconds=600)
    with receiving() as receiver:
        receiver.replies = [Reply(429, headers={"retry-after": then.strftime("%a, %d %b %Y %H:%M:%S GMT")})]
        result = await send(receiver.url)
    assert result.retry_after_s is not None
    assert 500 < result.retry_after_s <= 600


async def test_only_the_beginning_of_a_long_response_is_read() -> None:
    with receiving() as receiver:
        receiver.replies = [Reply(200, b"x" * 5_000_000)]
        result = await send(receiver.url)
    assert (result.status, result.body) == (200, "x" * RESPONSE_BYTES_READ)


async def test_a_truncated_response_counts_by_its_status() -> None:
    with receiving() as receiver:
        receiver.replies = [Reply(200, b"half", headers={"content-length": "8"})]
        result = await send(receiver.url)
    assert result == DeliveryResult(200, "half")


async def test_an_attempt_times_out() -> None:
    with receiving() as receiver:
        receiver.replies = [Reply(held=True)]
        result = await send(receiver.url, WebhookSender(("http",), allow_private=True, timeout_s=0.3))
    assert result == DeliveryResult(error="no response within 0.3 s")
    assert result.is_retryable


async def test_an_unreachable_receiver_is_retried() -> None:
    result = await send(f"http://127.0.0.1:{free_port()}")
    assert result.status is None
    assert result.error
    assert result.is_retryable


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"]
)
async def test_nothing_is_sent_to_a_private_address(host: str) -> None:
    with receiving() as receiver:
        port = receiver.url.rpartition(":")[2]
        result = await send(f"http://{host}:{port}/", WebhookSender(("http",), allow_private=False, timeout_s=20))
        assert receiver.received.empty()
    assert "must not resolve to a non-public IP address" in result.error
    assert (result.is_delivered, result.is_retryable) == (False, False)


async def test_an_unresolvable_name_is_retried() -> None:
    result = await send("https://nowhere.invalid/", DEFAULT)
    assert "Cannot resolve" in result.error
    assert result.is_retryable


async def test_a_scheme_that_is_no_longer_allowed_is_not_used() -> None:
    result = await send("http://8.8.8.8/", DEFAULT)
    assert result == DeliveryResult(
        error="Invalid webhook URL scheme: 'http'. Allowed schemes are: https.", is_permanent=True
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8/a b",
        "http://8.8.8.8/a\r\nX-Header: smuggled",
        "http://8.8.8.8\\@127.0.0.1/",
        "http://8.8.8.8:0/",
        "http://8.8.8.8:65536/",
        "http://8.8.8.8:port/",
        "   ",
        "http://8.8.8.8/\x7f",
        f"http://{'é' * 80}.example/",
        "http://8.8.8.8/" + "x" * 500,
    ],
)
async def test_an_invalid_url_is_rejected(url: str) -> None:
    with pytest.raises(ApiError) as error:
        await UNRESTRICTED.check_url(url)
    assert error.value.code == "INVALID_PARAMETER_VALUE"


async def test_a_self_signed_certificate_is_not_trusted(tmp_path: Path) -> None:
    with receiving(_tls(tmp_path)) as receiver:
        result = await send(receiver.url)
        assert receiver.received.empty()
    assert "certificate is not trusted" in result.error


def _tls(folder: Path) -> ssl.SSLContext:
    """Return a context with a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    pem += key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "own.pem"
    file.write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
