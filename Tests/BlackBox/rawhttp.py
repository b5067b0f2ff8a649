"""HTTP/1.1 over a raw socket: sends exactly the bytes it is given and reads exactly one answer at a time.

No client library in between: what a library would repair, refuse or retry is what these tests are about.
"""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import dataclass, field

#: Longest wait for a byte. Far beyond any answer on a busy machine, so that reaching it is a fault.
TIMEOUT_SECONDS = 30.0


class ConnectionEnded(Exception):
    """The server closed or reset the connection; `received` is what had come of the next answer."""

    def __init__(self, received: bytes) -> None:
        super().__init__(f"connection ended after {received!r}")
        self.received = received


@dataclass
class Response:
    """One answer as it came over the wire. Header names are in lower case, in order, repeated ones kept."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The value of a header that may stand once at most."""
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) <= 1, f"{name} is repeated: {values}"
        return values[0] if values else None

    @property
    def media_type(self) -> str | None:
        """Content-Type without its parameters."""
        value = self.header("content-type")
        return value.split(";")[0].strip() if value is not None else None

    def json(self):
        """The body as JSON."""
        return json.loads(self.body)


class Connection:
    """One TCP connection to 127.0.0.1. Closed by `with` or `close`."""

    def __init__(self, port: int, timeout: float = TIMEOUT_SECONDS) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Ends the connection by RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def half_close(self) -> None:
        """Says that nothing more will be sent; answers can still be read."""
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def request(self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Response:
        """Sends one request and reads its answer."""
        self.send(encode_request(method, target, headers, body))
        return self.read_response(head=method == "HEAD")

    def read_response(self, head: bool = False) -> Response:
        """Reads one answer (an interim one too) and leaves what follows it in the buffer."""
        lines = self._read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status = lines[0].split(" ", 2)[:2]
        assert version in ("HTTP/1.1", "HTTP/1.0"), lines[0]
        headers = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers.append((name.lower(), value.strip()))
        response = Response(int(status), headers)
        if not head and response.status >= 200 and response.status not in (204, 304):
            response.body = self._read_body(response)
        return response

    def read_head(self) -> str:
        """The status line and the header lines of an answer whose body does not end."""
        return self._read_until(b"\r\n\r\n").decode("latin-1")

    def read_until(self, end: bytes) -> bytes:
        """What comes before `end`, which is thrown away."""
        return self._read_until(end)

    def read_to_end(self) -> bytes:
        """Everything until the server closes or resets the connection."""
        try:
            while self._receive():
                pass
        except ConnectionError:
            pass
        received, self.buffer = self.buffer, b""
        return received

    def has_ended(self) -> bool:
        """True once the server has closed or reset the connection. What had come before is thrown away; never waits."""
        try:
            return self.socket.recv(65_536, socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    def _read_body(self, response: Response) -> bytes:
        if response.header("transfer-encoding") == "chunked":
            return self._read_chunks()
        length = response.header("content-length")
        return self.read_to_end() if length is None else self._read_exactly(int(length))

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self._read_until(b"\r\n").split(b";")[0], 16):
            body += self._read_exactly(size)
            assert self._read_exactly(2) == b"\r\n"
        while self._read_until(b"\r\n"):
            pass
        return body

    def _read_until(self, end: bytes) -> bytes:
        while end not in self.buffer:
            self._receive_more()
        before, _, self.buffer = self.buffer.partition(end)
        return before

    def _read_exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self._receive_more()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def _receive_more(self) -> None:
        try:
            ended = not self._receive()
        except ConnectionError:
            ended = True
        if ended:
            raise ConnectionEnded(self.buffer)

    def _receive(self) -> int:
        data = self.socket.recv(1 << 20)
        self.buffer += data
        return len(data)


def encode_request(method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> bytes:
    """The bytes of one well-formed request; `Host` and `Content-Length` are added unless `headers` names them."""
    fields = {"Host": "127.0.0.1"}
    if body is not None and "Transfer-Encoding" not in (headers or {}):
        fields["Content-Length"] = str(len(body))
    fields.update(headers or {})
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.encode("latin-1") + b"\r\n" + (body or b"")


def encode_chunks(*chunks: bytes) -> bytes:
    """The chunked form of a body, cut as given, with its end."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def exchange(port: int, data: bytes) -> Response:
    """Sends `data` on a connection of its own and reads one answer."""
    with Connection(port) as connection:
        connection.send(data)
        return connection.read_response()
