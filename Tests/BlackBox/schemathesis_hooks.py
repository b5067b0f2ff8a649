"""Loaded by schemathesis (SCHEMATHESIS_HOOKS): what bodies of appendlog's own media types look like."""

import struct

import schemathesis
from hypothesis import strategies as st

_records = st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=20)

schemathesis.openapi.media_type(
    "application/x-ndjson",
    _records.map(lambda records: b"\n".join(b"r" + record.replace(b"\n", b"") for record in records)),
)
schemathesis.openapi.media_type(
    "application/vnd.appendlog.records",
    _records.map(lambda records: b"".join(struct.pack("<I", len(record)) + record for record in records)),
)
schemathesis.openapi.media_type("application/octet-stream", st.binary(min_size=1, max_size=2000))

_PRODUCER = ("Producer-Id", "Producer-Epoch", "Producer-Seq")


@schemathesis.hook
def filter_case(context, case) -> bool:
    """Leaves out what OpenAPI cannot say: which headers go together. The black-box tests send those."""
    names = {name.lower() for name in case.headers or {}}
    producer = sum(name.lower() in names for name in _PRODUCER)
    if producer not in (0, len(_PRODUCER)) or (producer and "idempotency-key" in names):
        return False
    # Last-Event-ID counts only with events, which never end: whatever it says, a page takes it.
    if "last-event-id" in names:
        return False
    # Schemathesis may send the pattern's value without its quotes.
    tag = next((value for name, value in (case.headers or {}).items() if name.lower() == "if-match"), '""')
    return not {"if-match", "if-none-match"} <= names and str(tag).startswith('"')


@schemathesis.hook
def before_call(context, case, *_) -> None:
    """Nobody appends meanwhile: a valid `wait` would only cost its time."""
    wait = (case.query or {}).get("wait")
    if str(wait).isdigit() and 0 < int(wait) <= 50:
        case.query["wait"] = 0
