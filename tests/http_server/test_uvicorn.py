"""The names of uvicorn and httptools that http_server/ builds on, most of them private.

If one of these fails with a newer version, review governed_protocol.py and governed_cycle.py before moving the pin.
"""

import inspect
from collections.abc import Callable
from typing import Any

import httptools
import pytest
import uvicorn
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from railtrack.http_server.governed_cycle import GovernedCycle
from railtrack.http_server.governed_protocol import GovernedProtocol
from railtrack.http_server.processes import protocol_config


async def app(scope: dict[str, Any], receive: object, send: object) -> None: ...


def test_the_version_is_the_one_that_was_reviewed() -> None:
    assert uvicorn.__version__.startswith("0.54.")


def test_the_configuration_serves_the_application_itself_and_no_websockets() -> None:
    config = protocol_config(app)
    assert isinstance(config, Config)
    assert config.loaded
    assert config.loaded_app is app
    assert config.ws_protocol_class is None


def test_the_shared_state_has_connections_default_headers_and_a_count() -> None:
    state = ServerState()
    assert (state.connections, state.default_headers, state.total_requests) == (set(), [], 0)


@pytest.mark.parametrize(
    "name",
    [
        "connection_made",
        "connection_lost",
        "data_received",
        "on_message_begin",
        "on_url",
        "on_header",
        "on_headers_complete",
        "on_body",
        "on_message_complete",
        "on_response_complete",
        "shutdown",
        "pause_writing",
        "resume_writing",
    ],
)
def test_the_protocol_has_the_methods_that_are_overridden_or_used(name: str) -> None:
    ours, theirs = getattr(GovernedProtocol, name), getattr(HttpToolsProtocol, name)
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


@pytest.mark.parametrize("name", ["run_asgi", "send", "receive"])
def test_the_cycle_has_the_methods_that_are_overridden_or_used(name: str) -> None:
    ours, theirs = getattr(GovernedCycle, name), getattr(RequestResponseCycle, name)
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


@pytest.mark.parametrize(
    ("method", "lines"),
    [
        (
            HttpToolsProtocol.__init__,
            ["self.app = config.loaded_app", "self.loop = ", "self.parser = ", "self.connections = server_state."],
        ),
        (
            HttpToolsProtocol.connection_made,
            ["self.connections.add(self)", "self.transport = transport", "self.flow = ", "self.client = "],
        ),
        (
            HttpToolsProtocol.connection_lost,
            ["self.connections.discard(self)", "self.cycle.disconnected = True", "self.flow.resume_writing()"],
        ),
        (HttpToolsProtocol.on_url, ["self.url += url"]),
        (
            RequestResponseCycle.__init__,
            ["self.body = bytearray()", "self.more_body = True", "self.waiting_for_100_continue = "],
        ),
        (
            RequestResponseCycle.receive,
            ["self.flow.resume_reading()", "bytes(self.body)", "self.message_event.wait()", "self.body = bytearray()"],
        ),
        (
            RequestResponseCycle.send,
            [
                "if self.disconnected:",
                "elif self.chunked_encoding:",
                "num_bytes > self.expected_content_length",
                "self.response_complete = True",
                f"if not self.keep_alive:\n{' ' * 20}self.transport.close()\n{' ' * 16}self.on_response()",
            ],
        ),
        (FlowControl.pause_reading, ["self.read_paused = True"]),
        (FlowControl.pause_writing, ["self.write_paused = True"]),
    ],
)
def test_a_method_does_what_the_subclass_builds_on(method: Callable[..., Any], lines: list[str]) -> None:
    source = inspect.getsource(method)
    assert [line for line in lines if line not in source] == []


def test_every_status_has_a_line() -> None:
    assert STATUS_LINE[431] == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    assert set(STATUS_LINE) >= set(range(200, 600))


class _Parsed:
    """What httptools reports of a request."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.events.append("begin")

    def on_headers_complete(self) -> None:
        self.events.append("head")

    def on_message_complete(self) -> None:
        self.events.append("end")


def test_the_parser_ends_a_message_at_an_empty_line_unless_it_has_a_length() -> None:
    parsed = _Parsed()
    parsed.parser.feed_data(b"GET / HTTP/1.1\r\n\r\n")
    assert parsed.events == ["begin", "head", "end"]
    parsed.parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    parsed.parser.feed_data(b"1\r\na\r\n0\r\n\r\n")
    assert parsed.events[3:] == ["begin", "head", "end"]
    parsed.parser.feed_data(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n")
    assert parsed.events[6:] == ["begin", "head"]


def test_the_parser_reports_an_upgrade_and_keeps_the_cause_of_an_error() -> None:
    with pytest.raises(httptools.HttpParserUpgrade):
        _Parsed().parser.feed_data(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    with pytest.raises(httptools.HttpParserError, match=r"^Invalid HTTP version$"):
        _Parsed().parser.feed_data(b"GET / HTTP/1.2\r\n\r\n")
    parsed = _Parsed()
    parsed.events = None  # type: ignore[assignment]
    with pytest.raises(httptools.HttpParserCallbackError) as caught:
        parsed.parser.feed_data(b"GET / HTTP/1.1\r\n\r\n")
    assert isinstance(caught.value.__context__, AttributeError)
