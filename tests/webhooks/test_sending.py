"""One attempt: what the receiver gets, and what is made of its answer, or of none."""

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
from railtrack.webhooks.sending import SHOWN_BYTES, Outcome, Sender

ANYWHERE = Sender(("http", "https"), private=True, limit_s=20)
USUAL = Sender(("https",), private=False, limit_s=20)
PAYLOAD = b'{"entity": "registered_model"}'


async def sent(url: str, sender: Sender = ANYWHERE, secret: str = "") -> Outcome:
    return await sender.send(url, PAYLOAD, "delivery-1", secret)


async def test_the_receiver_gets_the_payload_signed_as_mlflow_signs_it() -> None:
    with receiving() as receiver:
        before = int(time.time())
        outcome = await sent(f"{receiver.url}/a%20b/c?d=e f&g=한#part".replace(" ", "%20"), secret="비밀")
        got = receiver.next()
    assert outcome == Outcome(200, "thanks")
    assert outcome.delivered
    assert got.path == "/a%20b/c?d=e%20f&g=%ED%95%9C"
    assert got.body == PAYLOAD
    assert got.headers["content-type"] == "application/json"
    assert got.headers["host"] == receiver.url.removeprefix("http://")
    assert got.delivery_id == "delivery-1"
    stamp = got.headers["x-mlflow-timestamp"]
    assert before <= int(stamp) <= time.time()
    # The documented rule: HMAC-SHA256 of id, timestamp and body joined by dots.
    expected = hmac.new("비밀".encode(), f"delivery-1.{stamp}.".encode() + PAYLOAD, hashlib.sha256).digest()
    assert got.headers["x-mlflow-signature"] == f"v1,{base64.b64encode(expected).decode()}"


async def test_without_a_secret_there_is_no_signature() -> None:
    with receiving() as receiver:
        await sent(receiver.url)
        assert "x-mlflow-signature" not in receiver.next().headers


async def test_a_user_in_the_url_is_sent_as_basic_authorization() -> None:
    with receiving() as receiver:
        await sent(receiver.url.replace("://", "://me:p%40ss@"))
        assert receiver.next().headers["authorization"] == f"Basic {base64.b64encode(b'me:p@ss').decode()}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_not_followed(status: int) -> None:
    with receiving() as other, receiving() as receiver:
        receiver.replies = [Reply(status, headers={"location": other.url})]
        outcome = await sent(receiver.url)
        assert (outcome.status, outcome.delivered, outcome.passing) == (status, False, False)
        assert other.received.empty()


@pytest.mark.parametrize(
    ("status", "passing"),
    [(400, False), (401, False), (404, False), (410, False), (429, True), (500, True), (502, True), (503, True)],
)
async def test_only_illness_and_pressure_are_worth_another_attempt(status: int, passing: bool) -> None:
    with receiving() as receiver:
        receiver.replies = [Reply(status, b"no")]
        outcome = await sent(receiver.url)
    assert (outcome.status, outcome.body, outcome.delivered, outcome.passing) == (status, "no", False, passing)


@pytest.mark.parametrize("header", ["7", "soon", "-1", "9" * 40, "1e3", ""])
async def test_retry_after_is_read_where_it_is_one(header: str) -> None:
    with receiving() as receiver:
        receiver.replies = [Reply(503, headers={"retry-after": header})]
        outcome = await sent(receiver.url)
    assert outcome.retry_after_s == (7 if header == "7" else None)


async def test_retry_after_may_be_a_time_of_day() -> None:
    then = datetime.now(UTC) + timedelta(seconds=600)
    with receiving() as receiver:
        receiver.replies = [Reply(429, headers={"retry-after": then.strftime("%a, %d %b %Y %H:%M:%S GMT")})]
        outcome = await sent(receiver.url)
    assert outcome.retry_after_s is not None
    assert 500 < outcome.retry_after_s <= 600


async def test_of_a_long_answer_only_the_beginning_is_read() -> None:
    with receiving() as receiver:
        receiver.replies = [Reply(200, b"x" * 5_000_000)]
        outcome = await sent(receiver.url)
    assert (outcome.status, outcome.body) == (200, "x" * SHOWN_BYTES)


async def test_an_answer_that_breaks_off_counts_by_its_status() -> None:
    with receiving() as receiver:
        receiver.replies = [Reply(200, b"half", headers={"content-length": "8"})]
        outcome = await sent(receiver.url)
    assert outcome == Outcome(200, "half")


async def test_a_receiver_that_does_not_answer_is_left() -> None:
    with receiving() as receiver:
        receiver.replies = [Reply(held=True)]
        outcome = await sent(receiver.url, Sender(("http",), private=True, limit_s=0.3))
    assert outcome == Outcome(error="no answer within 0.3 s")
    assert outcome.passing


async def test_a_receiver_that_is_away_may_be_back() -> None:
    outcome = await sent(f"http://127.0.0.1:{free_port()}")
    assert outcome.status is None
    assert outcome.error
    assert outcome.passing


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"]
)
async def test_nothing_is_sent_to_a_private_address_whenever_it_turns_out_to_be_one(host: str) -> None:
    with receiving() as receiver:
        port = receiver.url.rpartition(":")[2]
        outcome = await sent(f"http://{host}:{port}/", Sender(("http",), private=False, limit_s=20))
        assert receiver.received.empty()
    assert "must not resolve to a non-public IP address" in outcome.error
    assert (outcome.delivered, outcome.passing) == (False, False)


async def test_a_name_without_an_address_may_have_one_later() -> None:
    outcome = await sent("https://nowhere.invalid/", USUAL)
    assert "Cannot resolve" in outcome.error
    assert outcome.passing


async def test_a_scheme_that_is_allowed_no_more_is_not_used() -> None:
    outcome = await sent("http://8.8.8.8/", USUAL)
    assert outcome == Outcome(error="Invalid webhook URL scheme: 'http'. Allowed schemes are: https.", final=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8/a b",
        "http://8.8.8.8/a\r\nX-Header: smuggled",
        "http://8.8.8.8\\@127.0.0.1/",
        "http://8.8.8.8:0/",
        "http://8.8.8.8:65536/",
        "http://8.8.8.8:port/",
        " http://8.8.8.8/",
        "http://8.8.8.8/\t",
        "http://8.8.8.8/\x7f",
        f"http://{'é' * 80}.example/",
        "http://8.8.8.8/" + "x" * 500,
    ],
)
async def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ApiError) as error:
        await ANYWHERE.check(url)
    assert error.value.code == "INVALID_PARAMETER_VALUE"


async def test_a_certificate_of_nobody_knows_whom_is_not_trusted(tmp_path: Path) -> None:
    with receiving(_tls(tmp_path)) as receiver:
        outcome = await sent(receiver.url)
        assert receiver.received.empty()
    assert "certificate is not trusted" in outcome.error


def _tls(folder: Path) -> ssl.SSLContext:
    """A context with a certificate that nobody has signed."""
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
