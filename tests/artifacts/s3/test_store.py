"""S3 and compatible stores: errors, busy stores, broken connections, and no leftovers."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable
from itertools import product

import pytest
from tests.artifacts.conftest import stores_at
from tests.servers.processes import free_port, until
from tests.servers.s3 import S3Server
from tests.servers.s3_quirks import BUCKET, PAGE, QuirkyS3, Reply, error

from railtrack.artifacts import ArtifactStores
from railtrack.artifacts.s3.client import CALL_TIMEOUT_S
from railtrack.artifacts.s3.upload_memory import PART_BYTES
from railtrack.errors import ApiError


async def source(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def content(stores: ArtifactStores, key: str) -> bytes:
    artifact = await stores.proxied().store.open(key)
    return b"".join([chunk async for chunk in artifact.chunks(0, artifact.size)])


async def error_message(status: int, action: Awaitable[object]) -> str:
    with pytest.raises(ApiError) as caught:
        await action
    assert caught.value.status == status
    return caught.value.message


async def test_an_upload_that_fails_or_is_cancelled_leaves_no_parts(
    s3: S3Server, bucket: str, s3_stores: ArtifactStores
) -> None:
    async def failing() -> AsyncIterator[bytes]:
        async for piece in source(b"x" * (2 * PART_BYTES + 1)):
            yield piece
        raise RuntimeError("gone")

    async def stalling() -> AsyncIterator[bytes]:
        async for piece in source(b"x" * (PART_BYTES + 1)):
            yield piece
        assert s3.unfinished_uploads(bucket) == ["some/prefix/a"]
        task.cancel()
        await asyncio.Event().wait()

    store = s3_stores.proxied().store
    with pytest.raises(RuntimeError):
        await store.put("a", failing())
    task = asyncio.create_task(store.put("a", stalling()))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert s3.unfinished_uploads(bucket) == []
    assert s3.objects(bucket) == {}


async def test_keys_are_below_the_prefix(s3: S3Server, bucket: str, s3_stores: ArtifactStores) -> None:
    await s3_stores.proxied("1/run/artifacts/a b").store.put("1/run/artifacts/a b", source(b"abc"))
    assert s3.objects(bucket) == {"some/prefix/1/run/artifacts/a b": 3}


async def test_a_busy_store_is_retried(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    large = os.urandom(PART_BYTES + 5)
    quirky.busy = 2
    await quirky_stores.proxied().store.put("a", source(large))
    quirky.busy = 1
    assert await content(quirky_stores, "a") == large
    assert quirky.kinds().count("POST upload") == 3


async def test_a_closed_connection_is_replaced(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    store = quirky_stores.proxied().store
    await store.put("a", source(b"x"))
    quirky.hang_ups = 1
    assert await content(quirky_stores, "a") == b"x"


async def test_an_interrupted_download_continues_where_it_was(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    large = os.urandom(1_000_000)
    quirky.objects["a"] = large
    quirky.break_off = [300_000, 1, 0]
    assert await content(quirky_stores, "a") == large
    assert [call.headers.get("range") for call in quirky.calls] == [
        None, "bytes=300000-999999", "bytes=300001-999999", "bytes=300001-999999",
    ]  # fmt: skip


async def test_a_download_fails_if_the_object_is_replaced_meanwhile(
    quirky: QuirkyS3, quirky_stores: ArtifactStores
) -> None:
    quirky.objects["a"] = b"x" * 1_000_000
    quirky.break_off = [300_000]
    artifact = await quirky_stores.proxied().store.open("a")
    quirky.objects["a"] = b"y" * 1_000_000
    with pytest.raises(OSError, match="replaced during the download"):
        _ = [chunk async for chunk in artifact.chunks(0, artifact.size)]


async def test_an_unavailable_store_is_reported_within_seconds(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    store = quirky_stores.proxied().store
    begun = time.monotonic()
    quirky.busy = 1000
    message = await error_message(503, store.put("a", source(b"x")))
    assert message.startswith(f"The artifact store does not answer: the bucket '{BUCKET}' at http://127.0.0.1:")
    assert "SlowDown" in message
    gone = stores_at(f"s3://{BUCKET}", {**quirky.environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"})
    assert "does not answer" in await error_message(429, gone.proxied().store.open("a"))
    assert time.monotonic() - begun < CALL_TIMEOUT_S


async def test_a_store_that_goes_away_during_a_request_may_have_processed_it() -> None:
    """No retry gets a connection, but the first attempt reached the store."""

    async def read_and_go_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        server.close()
        writer.transport.abort()

    server = await asyncio.start_server(read_and_go_away, "127.0.0.1", port := free_port())
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "auto"}
    stores = stores_at(f"s3://{BUCKET}", {**keys, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
    message = await error_message(503, stores.proxied().store.put("a", source(b"x")))
    assert message.endswith("Connection refused")
    stores.close()


async def test_a_partial_read_starts_with_a_head_request(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    quirky.objects["a"] = b"0123456789"
    store = quirky_stores.proxied().store
    artifact = await store.open("a", whole=False)
    assert artifact.size == 10
    assert b"".join([chunk async for chunk in artifact.chunks(2, 5)]) == b"234"
    assert [(call.method, call.headers.get("range")) for call in quirky.calls] == [("HEAD", None), ("GET", "bytes=2-4")]
    assert "No such artifact" in await error_message(404, store.open("b", whole=False))
    quirky.replies = {"HEAD": Reply(403), "GET": error(403, "AccessDenied", "for this reason")}
    with pytest.raises(ApiError, match="for this reason"):
        await store.open("a", whole=False)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ('"abc"', '"abc"'), ("abc", '"abc"'), ('W/"abc"', 'W/"abc"'),
        ('"a"b"', '"1700000000-1"'), ("", '"1700000000-1"'), ("a b", '"1700000000-1"'),
    ],
)  # fmt: skip
async def test_a_stores_etag_gets_the_form_that_http_requires(
    quirky: QuirkyS3, quirky_stores: ArtifactStores, sent: str, expected: str
) -> None:
    headers = {"etag": sent, "last-modified": "Tue, 14 Nov 2023 22:13:20 GMT"}
    quirky.replies = {"GET": Reply(200, b"x", headers)}
    artifact = await quirky_stores.proxied().store.open("a")
    assert artifact.etag == expected
    assert b"".join([chunk async for chunk in artifact.chunks(0, 1)]) == b"x"


async def test_another_range_than_the_requested_one_is_an_error(
    quirky: QuirkyS3, quirky_stores: ArtifactStores
) -> None:
    quirky.objects["a"] = b"0123456789"
    artifact = await quirky_stores.proxied().store.open("a", whole=False)
    quirky.replies = {"GET": Reply(206, b"0123", {"etag": artifact.etag})}
    with pytest.raises(OSError, match="another range than bytes 2-4: 206 without Content-Range"):
        _ = [chunk async for chunk in artifact.chunks(2, 5)]


async def test_an_object_that_was_replaced_is_an_error(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    for quirky.ranges in (206, 200, None):
        quirky.objects["a"] = b"0123456789"
        artifact = await quirky_stores.proxied().store.open("a", whole=False)
        quirky.objects["a"] = b"9876543210"
        with pytest.raises(OSError, match="the object was replaced during the download"):
            _ = [chunk async for chunk in artifact.chunks(2, 5)]


@pytest.mark.parametrize("ranges", [200, None])
async def test_a_download_continues_from_a_store_without_ranges(
    quirky: QuirkyS3, quirky_stores: ArtifactStores, ranges: int | None
) -> None:
    content = os.urandom(1_000_000)
    quirky.objects["a"] = content
    quirky.ranges, quirky.break_off = ranges, [300_000, 400_000]
    artifact = await quirky_stores.proxied().store.open("a")
    assert b"".join([chunk async for chunk in artifact.chunks(0, len(content))]) == content
    assert [call.headers.get("range", "")[:8] for call in quirky.calls] == [
        "",
        "bytes=30",
        "bytes=70" if ranges else "bytes=40",
    ]


@pytest.mark.parametrize("token", ["", "<NextContinuationToken>again</NextContinuationToken>"])
async def test_a_listing_that_does_not_continue_is_an_error(
    quirky: QuirkyS3, quirky_stores: ArtifactStores, token: str
) -> None:
    listing = f"<ListBucketResult><IsTruncated>true</IsTruncated>{token}</ListBucketResult>"
    quirky.replies = {"GET list": Reply(200, listing.encode())}
    await error_message(503, quirky_stores.proxied().store.list("big", None, 5000))
    assert len(quirky.calls) < 5


async def test_a_deletion_without_effect_ends(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    quirky.objects = {"big/a": b""}
    quirky.replies = {"POST delete": Reply(200, b"<DeleteResult/>")}
    message = await error_message(503, quirky_stores.proxied().store.delete("big"))
    assert "the store lists objects that it has confirmed as deleted" in message


async def test_a_rejected_part_aborts_the_upload(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    store = quirky_stores.proxied().store
    for rejected_kind in ("PUT part", "POST complete"):
        quirky.replies = {rejected_kind: error(403, "AccessDenied", "no")}
        assert "AccessDenied: no" in await error_message(403, store.put("a", source(b"x" * (PART_BYTES + 1))))
        assert (quirky.uploads, quirky.objects) == ({}, {})


async def test_a_completion_that_fails_after_status_200_is_an_error(
    quirky: QuirkyS3, quirky_stores: ArtifactStores
) -> None:
    quirky.replies = {"POST complete": error(200, "InvalidPart", "a part is gone")}
    message = await error_message(400, quirky_stores.proxied().store.put("a", source(b"x" * (PART_BYTES + 1))))
    assert "a part is gone" in message
    assert quirky.uploads == {}


async def test_blanks_before_the_response_to_a_completion_are_ignored(
    quirky: QuirkyS3, quirky_stores: ArtifactStores
) -> None:
    declared = b'<?xml version="1.0" encoding="UTF-8"?>'
    store = quirky_stores.proxied().store
    failed = b"   " + declared + b"<Error><Code>InvalidPart</Code><Message>a part is gone</Message></Error>"
    quirky.replies = {"POST complete": Reply(200, failed)}
    assert "a part is gone" in await error_message(400, store.put("a", source(b"x" * (PART_BYTES + 1))))
    quirky.replies = {"POST complete": Reply(200, b"   " + declared + b"<R/>")}
    await store.put("a", source(b"x" * (PART_BYTES + 1)))
    quirky.replies = {"POST complete": Reply(200, b"   ")}
    message = await error_message(503, store.put("a", source(b"x" * (PART_BYTES + 1))))
    assert "did not confirm that the upload was completed" in message


async def test_an_upload_that_is_cancelled_again_and_again_leaves_no_parts(
    quirky: QuirkyS3, quirky_stores: ArtifactStores
) -> None:
    """At whatever moment that happens: before it is begun, while it is, while a part is sent, while it is undone."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1_000_000
            await asyncio.sleep(0)

    quirky.delay = 0.02
    for kind, pause in product(("", "POST upload", "PUT part"), (0, 0.01, 0.03)):
        begun = len(quirky.calls)
        task = asyncio.create_task(quirky_stores.proxied().store.put("a", endless()))
        await until(lambda kind=kind, begun=begun: not kind or kind in quirky.kinds()[begun:])
        await asyncio.sleep(pause)
        while not task.done():
            task.cancel()
            await asyncio.sleep(0.005)
        assert task.cancelled()
        assert (quirky.uploads, quirky.objects) == ({}, {})
    assert {"POST upload", "PUT part", "DELETE complete"} <= set(quirky.kinds())


async def test_a_store_that_does_not_respond_times_out(
    quirky: QuirkyS3, quirky_stores: ArtifactStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = quirky_stores.proxied().store
    quirky.delay = 0.3
    monkeypatch.setattr("railtrack.artifacts.s3.client.CALL_TIMEOUT_S", 0.1)
    assert "no response in 0 s" in await error_message(503, store.put("a", source(b"x")))
    monkeypatch.setattr("railtrack.artifacts.s3.client.CALL_TIMEOUT_S", 10.0)
    monkeypatch.setattr("railtrack.artifacts.s3.upload.FINISH_TIMEOUT_S", 0.1)
    assert "not completed in 0 s" in await error_message(503, store.put("a", source(b"x" * (PART_BYTES + 1))))
    assert quirky.uploads == {}


async def test_an_upload_that_the_store_has_lost_can_be_retried(
    quirky: QuirkyS3, quirky_stores: ArtifactStores
) -> None:
    quirky.replies = {"POST complete": error(404, "NoSuchUpload")}
    message = await error_message(503, quirky_stores.proxied().store.put("a", source(b"x" * (PART_BYTES + 1))))
    assert message == "The artifact store lost the upload. Please retry."


async def test_a_failed_request_closes_all_idle_connections(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    store = quirky_stores.proxied().store
    await asyncio.gather(*(store.put(f"{number}", source(b"x")) for number in range(6)))
    assert quirky.connections == 6
    quirky.hang_ups = 1
    await store.put("a", source(b"x"))
    assert quirky.connections == 7
    await asyncio.gather(*(store.put(f"{number}", source(b"x")) for number in range(6)))
    assert quirky.connections == 12


async def test_wrong_keys_and_a_missing_bucket_are_reported_with_bucket_and_endpoint(s3: S3Server, bucket: str) -> None:
    wrong = stores_at(f"s3://{bucket}", {**s3.environment, "AWS_SECRET_ACCESS_KEY": "wrong"})
    nowhere = stores_at("s3://no-such-bucket", s3.environment)
    for stores, code in ((wrong, "SignatureDoesNotMatch"), (nowhere, "NoSuchBucket")):
        store = stores.proxied().store
        actions = (store.put("a", source(b"x")), store.open("a"), store.list("", None, 1), store.delete("a"))
        for action in (*actions, store.probe()):
            message = await error_message(503, action)
            assert code in message
            assert s3.url in message
            assert "wrong" not in message
        stores.close()


async def test_a_wrong_region_is_reported_with_the_variable(quirky: QuirkyS3) -> None:
    stores = stores_at(f"s3://{BUCKET}", {**quirky.environment, "AWS_REGION": "eu-west-1"})
    assert "set AWS_REGION" in await error_message(403, stores.proxied().store.open("a"))


async def test_long_listings_are_requested_page_by_page(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    quirky.objects = {f"big/{number:05}": b"" for number in range(2 * PAGE + 5)}
    store = quirky_stores.proxied().store
    page = await store.list("big", None, 5000)
    assert ([entry.name for entry in page.entries], page.next_token) == (
        [f"{number:05}" for number in range(2 * PAGE + 5)],
        None,
    )
    first = await store.list("big", None, 1500)
    assert len(first.entries) == 1500
    assert (await store.list("big", first.next_token, 1500)).entries[0].name == "01500"


@pytest.mark.parametrize("no_bulk_delete", [False, True])
async def test_a_long_folder_is_deleted_in_chunks(
    quirky: QuirkyS3, quirky_stores: ArtifactStores, no_bulk_delete: bool
) -> None:
    quirky.no_bulk_delete = no_bulk_delete
    quirky.objects = {f"big/{number:05}": b"" for number in range(PAGE + 5)} | {"big/\x01": b"", "bigger": b""}
    await quirky_stores.proxied().store.delete("big")
    assert list(quirky.objects) == ["bigger"]
    one_by_one = quirky.kinds().count("DELETE")
    assert one_by_one == (PAGE + 7 if no_bulk_delete else 2)  # the folder's own name, the one that XML can't name


async def test_a_failed_deletion_is_reported(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    quirky.objects = {"big/a": b""}
    denied = (
        b"<DeleteResult><Error><Key>big/a</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    )
    quirky.replies = {"POST delete": Reply(200, denied)}
    assert "AccessDenied" in await error_message(403, quirky_stores.proxied().store.delete("big"))


async def test_a_slow_reader_is_buffered_up_to_the_window(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    quirky.objects["a"] = os.urandom(30_000_000)
    artifact = await quirky_stores.proxied().store.open("a")
    chunks = artifact.chunks(0, artifact.size)
    await anext(chunks)
    reader = artifact._response or chunks.ag_frame.f_locals["response"]  # type: ignore[attr-defined]
    await until(lambda: reader._connection._buffered_bytes)
    await asyncio.sleep(0.2)
    assert 0 < reader._connection._buffered_bytes < 1_000_000
    await chunks.aclose()
