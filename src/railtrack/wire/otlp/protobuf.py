"""Decode a trace export in protobuf: those fields of opentelemetry/proto/trace/v1 that are stored."""

from struct import unpack_from
from typing import Any

from railtrack.wire.otlp.messages import (
    DEPTH_LIMIT,
    VALUES_LIMIT,
    Attributes,
    InvalidOtlp,
    ResourceSpans,
    Span,
    SpanEvent,
    SpanLink,
)

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
KEY_TAG, VALUE_TAG, TEXT_TAG = 0x0A, 0x12, 0x0A
"""Tags, with their wire type, of KeyValue.key, KeyValue.value and AnyValue.string_value."""
UINT64 = 1 << 64
Field = tuple[int, int, int]
"""A field's number and its value: (start, end) of bytes; (value, -1) of a varint; (offset, -8 or -4) of a fixed one."""


class ProtobufDecoder:
    """Decodes one export. First export(), then span() for each of its spans."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._values = 0

    def export(self) -> list[ResourceSpans]:
        """Return the resources with their spans still encoded, as pairs of offsets."""
        try:
            return [self._resource_spans(*encoded) for encoded in self._submessages(0, len(self._body), 1)]
        except UnicodeDecodeError:
            raise InvalidOtlp("A string is not valid UTF-8.") from None
        except IndexError:
            raise InvalidOtlp("The message is truncated.") from None

    def _resource_spans(self, start: int, end: int) -> ResourceSpans:
        attributes: Attributes = []
        spans: list[tuple[int, int]] = []
        for number, at, stop in self._fields(start, end):
            if number == 1 and stop >= 0:  # resource
                attributes += [self._key_value(*value) for value in self._submessages(at, stop, 1)]
            elif number == 2 and stop >= 0:  # scope_spans
                spans += self._submessages(at, stop, 2)
        return ResourceSpans(attributes, spans)

    def span(self, encoded: tuple[int, int]) -> Span:
        try:
            return self._span(*encoded)
        except UnicodeDecodeError:
            raise InvalidOtlp("A string is not valid UTF-8.") from None
        except IndexError:
            raise InvalidOtlp("The message is truncated.") from None

    def _span(self, start: int, end: int) -> Span:
        body = self._body
        trace_id = span_id = parent_span_id = b""
        name = status_message = ""
        kind = start_time = end_time = status_code = 0
        attributes: Attributes = []
        events: list[SpanEvent] = []
        links: list[SpanLink] = []
        for number, at, stop in self._fields(start, end):
            if stop >= 0:
                if number == 9:
                    attributes.append(self._key_value(at, stop))
                elif number == 1:
                    trace_id = body[at:stop]
                elif number == 2:
                    span_id = body[at:stop]
                elif number == 4:
                    parent_span_id = body[at:stop]
                elif number == 5:
                    name = body[at:stop].decode()
                elif number == 11:
                    events.append(self._event(at, stop))
                elif number == 13:
                    links.append(self._link(at, stop))
                elif number == 15:
                    for field, value, end in self._fields(at, stop):
                        if field == 2 and end >= 0:
                            status_message = body[value:end].decode()
                        elif field == 3 and end == -1:
                            status_code = value
            elif stop == -8:
                if number == 7:
                    (start_time,) = unpack_from("<Q", body, at)
                elif number == 8:
                    (end_time,) = unpack_from("<Q", body, at)
            elif stop == -1 and number == 6:
                kind = at
        return Span(
            trace_id,
            span_id,
            parent_span_id,
            name,
            kind,
            start_time,
            end_time,
            attributes,
            events,
            links,
            status_code,
            status_message,
        )

    def _event(self, start: int, end: int) -> SpanEvent:
        body = self._body
        name, time = "", 0
        attributes: Attributes = []
        for number, at, stop in self._fields(start, end):
            if number == 1 and stop == -8:
                (time,) = unpack_from("<Q", body, at)
            elif number == 2 and stop >= 0:
                name = body[at:stop].decode()
            elif number == 3 and stop >= 0:
                attributes.append(self._key_value(at, stop))
        return SpanEvent(name, time, attributes)

    def _link(self, start: int, end: int) -> SpanLink:
        trace_id = span_id = b""
        attributes: Attributes = []
        for number, at, stop in self._fields(start, end):
            if stop < 0:
                continue
            if number == 1:
                trace_id = self._body[at:stop]
            elif number == 2:
                span_id = self._body[at:stop]
            elif number == 4:
                attributes.append(self._key_value(at, stop))
        return SpanLink(trace_id, span_id, attributes)

    def _key_value(self, start: int, end: int, depth: int = 0) -> tuple[str, Any]:
        """Return a key and its value.

        Almost all are a short key and a text, in this order. Without a path for them, decoding took twice as long.
        """
        body = self._body
        if end - start > 6 and body[start] == KEY_TAG:
            value_at = start + 2 + body[start + 1]  # if the key has more than 127 bytes, no tag is found there
            if value_at + 4 < end and body[value_at] == VALUE_TAG and body[start + 1] < 0x80:
                at = value_at + 2
                if body[at - 1] >= 0x80:
                    _, at = self._varint(at - 1)
                if at + 1 < end and body[at] == TEXT_TAG:
                    length = body[at + 1]
                    at += 2
                    if length >= 0x80:
                        length, at = self._varint(at - 1)
                    if at + length == end:
                        self._values += 4
                        return body[start + 2 : value_at].decode(), body[at:end].decode()
        key, value = "", None
        for number, at, stop in self._fields(start, end):
            if stop >= 0:
                if number == 1:
                    key = body[at:stop].decode()
                elif number == 2:
                    value = self._any_value(at, stop, depth)
        return key, value

    def _any_value(self, start: int, end: int, depth: int) -> Any:
        """Return the value. Of several fields of the oneof, the last counts."""
        if depth >= DEPTH_LIMIT:
            raise InvalidOtlp(f"An attribute is nested {DEPTH_LIMIT} levels deep or deeper.")
        body = self._body
        value: Any = None
        for number, at, stop in self._fields(start, end):
            if stop >= 0:
                if number == 1:
                    value = body[at:stop].decode()
                elif number == 5:
                    value = [self._any_value(*item, depth + 1) for item in self._submessages(at, stop, 1)]
                elif number == 6:
                    value = dict(self._key_value(*item, depth + 1) for item in self._submessages(at, stop, 1))
                elif number == 7:
                    value = body[at:stop]
            elif number == 2 and stop == -1:
                value = at != 0
            elif number == 3 and stop == -1:
                value = at - UINT64 if at >= UINT64 >> 1 else at
            elif number == 4 and stop == -8:
                (value,) = unpack_from("<d", body, at)
        return value

    def _submessages(self, start: int, end: int, wanted: int) -> list[tuple[int, int]]:
        return [(at, stop) for number, at, stop in self._fields(start, end) if number == wanted and stop >= 0]

    def _fields(self, at: int, end: int) -> list[Field]:
        """Return the fields of the message at body[at:end]."""
        body = self._body
        fields: list[Field] = []
        try:
            while at < end:
                tag = body[at]
                at += 1
                if tag >= 0x80:
                    tag, at = self._varint(at - 1)
                wire_type = tag & 7
                if wire_type == BYTES:
                    length = body[at]
                    at += 1
                    if length >= 0x80:
                        length, at = self._varint(at - 1)
                    start, at = at, at + length
                    fields.append((tag >> 3, start, at))
                elif wire_type == VARINT:
                    value, at = self._varint(at)
                    fields.append((tag >> 3, value, -1))
                elif wire_type == FIXED64:
                    fields.append((tag >> 3, at, -8))
                    at += 8
                elif wire_type == FIXED32:
                    fields.append((tag >> 3, at, -4))
                    at += 4
                else:  # groups, which no version of OTLP has
                    raise InvalidOtlp("A field has an unknown type.")
        except IndexError:
            raise InvalidOtlp("The message is truncated.") from None
        if at != end:
            raise InvalidOtlp("The message is truncated.")
        self._values += len(fields)
        if self._values > VALUES_LIMIT:
            raise InvalidOtlp(f"The export has more than {VALUES_LIMIT} fields.")
        return fields

    def _varint(self, at: int) -> tuple[int, int]:
        """Return an unsigned number of at most 64 bits, and the offset after it."""
        body = self._body
        value = shift = 0
        while True:
            byte = body[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & (UINT64 - 1), at
            shift += 7
            if shift >= 70:
                raise InvalidOtlp("A number has more than 64 bits.")
