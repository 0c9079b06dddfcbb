"""How the store is reached: by TLS with an authority of one's own, with the bucket in the host name or in the path."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.artifacts.conftest import stores_at
from tests.servers.certificates import Authority
from tests.servers.s3_quirks import BUCKET, QuirkyS3, error, quirky_s3

from railtrack.artifacts import ArtifactStores
from railtrack.artifacts.s3.probe import probe_presigned_urls
from railtrack.artifacts.s3.upload_memory import PART_BYTES
from railtrack.errors import ApiError


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.new(tmp_path_factory.mktemp("authority"))


async def source(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def stored_and_read(stores: ArtifactStores) -> None:
    store = stores.proxied().store
    content = os.urandom(PART_BYTES + 5)
    await store.put("a b/c", source(content))
    artifact = await store.open("a b/c")
    assert b"".join([chunk async for chunk in artifact.chunks(0, artifact.size)]) == content
    assert [entry.name for entry in (await store.list("a b", None, 10)).entries] == ["c"]
    await store.delete("a b")


async def error_of(environ: dict[str, str]) -> str:
    """Return the error of a start that fails."""
    stores = stores_at(f"s3://{BUCKET}", environ)
    with pytest.raises(ApiError) as caught:
        await stores.probe_buckets()
    stores.close()
    assert "\n" not in caught.value.message
    return caught.value.message


async def works(environ: dict[str, str]) -> None:
    stores = stores_at(f"s3://{BUCKET}", environ)
    assert await stores.probe_buckets() == []
    assert await probe_presigned_urls(stores.buckets()[0])
    await stored_and_read(stores)
    stores.close()


async def test_the_bucket_may_stand_in_the_host_name(quirky: QuirkyS3) -> None:
    quirky.style = "virtual"
    await works(quirky.virtual)
    assert {call.headers["host"] for call in quirky.calls} == {f"{BUCKET}.localhost:{quirky.port}"}
    assert (quirky.objects, quirky.uploads) == ({}, {})


async def test_the_bucket_may_stand_in_the_path(quirky: QuirkyS3) -> None:
    quirky.style = "path"
    await works(quirky.environment)


@pytest.mark.parametrize("style", ["path", "virtual"])
async def test_an_endpoint_may_have_a_path(quirky: QuirkyS3, style: str) -> None:
    quirky.path, quirky.style = "/storage/v1/s3", style
    await works(quirky.virtual if style == "virtual" else quirky.environment)
    assert (quirky.objects, quirky.uploads) == ({}, {})
    quirky.style, quirky.replies = "path", {"PUT": error(403, "AccessDenied", "no")}
    assert f":{quirky.port}/storage/v1/s3: AccessDenied" in await error_of(quirky.environment)


async def test_the_path_of_an_endpoint_is_signed_as_boto_does(quirky: QuirkyS3) -> None:
    quirky.path = "/storage/v1/s3"
    await works(quirky.environment)
    signed = [call for call in quirky.calls if "authorization" in call.headers]
    assert {call.method for call in signed} == {"PUT", "GET", "POST", "DELETE"}
    for call in signed:
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in call.query.items())
        path = f"{quirky.path}/{call.bucket}/{quote(call.key)}"
        request = AWSRequest(call.method, f"http://127.0.0.1:{quirky.port}{path}?{query}".rstrip("?"))
        request.context["timestamp"] = call.headers["x-amz-date"]
        names = call.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        for name in names:
            request.headers[name] = call.headers[name]
        auth = S3SigV4Auth(Credentials("key", "secret"), "s3", "auto")
        canonical = auth.canonical_request(request)
        signature = auth.signature(auth.string_to_sign(request, canonical), request)
        assert call.headers["authorization"].endswith(f"Signature={signature}"), canonical


async def test_certificates_are_not_checked_if_a_setting_requires_that(authority: Authority) -> None:
    async with quirky_s3(authority.server("other.localhost")) as store:
        await works({**store.environment, "MLFLOW_S3_IGNORE_TLS": "true"})
        assert "is not trusted" in await error_of({**store.environment, "MLFLOW_S3_IGNORE_TLS": "false"})


async def test_the_store_is_asked_to_check_the_owner_of_the_bucket(quirky: QuirkyS3) -> None:
    await works({**quirky.environment, "MLFLOW_S3_EXPECTED_BUCKET_OWNER": "123456789012"})
    owners = {
        call.headers.get("x-amz-expected-bucket-owner") for call in quirky.calls if "authorization" in call.headers
    }
    assert owners == {"123456789012"}
    assert all(
        "x-amz-expected-bucket-owner" in call.headers["authorization"]
        for call in quirky.calls
        if "authorization" in call.headers
    )


async def test_a_wrong_addressing_style_is_reported_with_its_variable(quirky: QuirkyS3) -> None:
    for style, environ in (("path", quirky.virtual), ("virtual", quirky.environment)):
        quirky.style = style
        message = await error_of(environ)
        assert "NoSuchBucket" in message
        assert "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE" in message


@pytest.mark.parametrize("style", ["path", "virtual"])
async def test_a_certificate_of_a_private_ca_is_trusted(authority: Authority, style: str) -> None:
    async with quirky_s3(authority.server("127.0.0.1", "*.localhost", f"{BUCKET}.localhost")) as store:
        store.style = style
        environ = store.virtual if style == "virtual" else store.environment
        await works({**environ, "AWS_CA_BUNDLE": str(authority.bundle)})
        assert len(store.calls) > 10
        put = [call for call in store.calls if call.method == "PUT" and "X-Amz-Signature" not in call.query]
        assert {call.headers["x-amz-content-sha256"] for call in put} == {"UNSIGNED-PAYLOAD"}  # TLS protects them
        others = [call for call in store.calls if call.method == "POST"]
        assert all(len(call.headers["x-amz-content-sha256"]) == 64 for call in others)


async def test_an_untrusted_certificate_is_reported_with_endpoint_and_advice(
    authority: Authority, tmp_path: Path
) -> None:
    other = Authority.new(tmp_path)
    async with quirky_s3(authority.server("127.0.0.1")) as store:
        for environ in (store.environment, {**store.environment, "AWS_CA_BUNDLE": str(other.bundle)}):
            message = await error_of(environ)
            assert message.startswith(
                f"No secure connection to the artifact store: the bucket '{BUCKET}' at https://127.0.0.1:{store.port}: "
                "its certificate is not trusted: "
            )
            assert message.endswith("Set AWS_CA_BUNDLE to the certificate of its CA, or correct AWS_S3_ENDPOINT_URL.")
        assert store.calls == []


async def test_a_certificate_for_another_host_is_rejected(authority: Authority) -> None:
    async with quirky_s3(authority.server("127.0.0.1", "other.localhost")) as store:
        message = await error_of({**store.virtual, "AWS_CA_BUNDLE": str(authority.bundle)})
        assert f"{BUCKET}.localhost" in message
        assert store.calls == []


async def test_a_store_without_tls_is_reported(quirky: QuirkyS3) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    message = await error_of({**quirky.environment, "AWS_ENDPOINT_URL": f"https://127.0.0.1:{port}"})
    server.close()
    assert "it does not use TLS (use http:// instead)" in message
    assert "AWS_S3_ENDPOINT_URL" in message


async def test_a_bundle_without_certificates_is_reported_with_its_variable(
    authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    async with quirky_s3(authority.server("127.0.0.1")) as store:
        message = await error_of({**store.environment, "AWS_CA_BUNDLE": str(tmp_path / "empty.pem")})
    assert f"AWS_CA_BUNDLE: {tmp_path / 'empty.pem'} has no certificates" in message


async def test_an_unknown_host_is_reported_by_name(quirky: QuirkyS3) -> None:
    environ = {**quirky.virtual, "AWS_ENDPOINT_URL": "http://store..example:9000"}
    stores = stores_at(f"s3://{BUCKET}", environ)
    (line,) = await stores.probe_buckets()
    assert f"{BUCKET}.store..example: " in line
    assert "Check AWS_S3_ENDPOINT_URL" in line
