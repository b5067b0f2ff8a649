"""A client of the live tail: server-sent events over a raw socket, cut into events as the HTML standard says."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass

from client import records_target
from rawhttp import Connection, ConnectionEnded, Response, encode_request

EVENTS = "text/event-stream"


@dataclass
class Event:
    """One event, or one comment (then only `comment` is set)."""

    id: str | None = None
    event: str | None = None
    data: str | None = None
    retry: str | None = None
    comment: str | None = None

    @property
    def offset(self) -> int:
        """The offset of a record's event, which must be that of its data."""
        value = json.loads(self.data)
        assert self.event is None and value["offset"] == int(self.id), self
        return value["offset"]

    @property
    def text(self) -> str:
        """The record of a record's event, which must be text."""
        return json.loads(self.data)["data"]


class LiveTail:
    """A stream of events. Reads block at most the connection's time-out."""

    def __init__(
        self,
        port: int,
        log: str,
        last_event_id: object = None,
        headers: dict[str, str] | None = None,
        receive_bytes: int | None = None,
        **query: object,
    ) -> None:
        self.connection = Connection(port)
        if receive_bytes is not None:
            self.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        fields = {"Accept": EVENTS, **(headers or {})}
        if last_event_id is not None:
            fields["Last-Event-ID"] = str(last_event_id)
        self.connection.send(encode_request("GET", records_target(log, **query), fields))
        self.response: Response = self._read_head()
        self.text = b""
        self.ended_whole = False

    def __enter__(self) -> LiveTail:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self.connection.close()

    def _read_head(self) -> Response:
        """The head, and the body of what is no stream."""
        head = self.connection._read_until(b"\r\n\r\n")
        if b"text/event-stream" not in head:
            self.connection.buffer = head + b"\r\n\r\n" + self.connection.buffer
            return self.connection.read_response()
        self.connection.buffer = head + b"\r\n\r\n" + self.connection.buffer
        return self.connection.read_response(head=True)

    def next(self) -> Event | None:
        """The next event or comment; None at the end of the stream."""
        while b"\n\n" not in self.text:
            if not self._read_chunk():
                assert self.text == b"", f"the stream ended within an event: {self.text!r}"
                return None
        block, _, self.text = self.text.partition(b"\n\n")
        return parse_event(block.decode())

    def _read_chunk(self) -> bool:
        try:
            size = int(self.connection._read_until(b"\r\n"), 16)
            data = self.connection._read_exactly(size)
            assert self.connection._read_exactly(2) == b"\r\n"
        except ConnectionEnded:
            self.text = b""
            return False
        self.ended_whole = size == 0
        self.text += data
        return size > 0

    def next_record(self) -> Event:
        """The next event of a record; comments and the retry hint are passed over."""
        while True:
            event = self.next()
            assert event is not None, "the stream ended before a record"
            if event.data is not None:
                assert event.event is None, event
                return event

    def next_named(self) -> Event:
        """The next event that is neither comment nor retry hint."""
        while True:
            event = self.next()
            assert event is not None, "the stream ended before an event"
            if event.data is not None:
                return event

    def next_comment(self) -> str:
        """The next comment; records before it are passed over."""
        while True:
            event = self.next()
            assert event is not None, "the stream ended before a comment"
            if event.comment is not None:
                return event.comment

    def rest(self) -> list[Event]:
        """All events to the end of the stream."""
        events = []
        while (event := self.next()) is not None:
            events.append(event)
        return events


def parse_event(block: str) -> Event:
    """One block of lines; only what the server is said to send."""
    event = Event()
    for line in block.split("\n"):
        name, separator, value = line.partition(": ")
        assert separator, block
        field = "comment" if name == "" else name
        assert field in ("id", "event", "data", "retry", "comment") and getattr(event, field) is None, block
        setattr(event, field, value)
    return event
