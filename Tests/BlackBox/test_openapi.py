"""openapi.yaml agrees with the server: schemathesis tries to prove the opposite, and each listed status is triggered."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from client import FRAMED, append_ok, framed, get, records_target, stats
from rawhttp import encode_request, exchange
from server import REPOSITORY, Server

CONTRACT = REPOSITORY / "openapi.yaml"
DOCUMENT = yaml.safe_load(CONTRACT.read_text())
SEED = "20261122"
EXAMPLES = "40"

#: Every check of schemathesis that applies to a service without users.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,positive_data_acceptance,missing_required_header,"
    "unsupported_method,allow_header_conformance"
)

OPERATIONS = [
    (path, method)
    for path, item in DOCUMENT["paths"].items()
    for method in ("get", "head", "post", "put", "delete", "options", "patch")
    if method in item
]


#: Status and body of the success of each operation that is no plain GET or HEAD.
SUCCESSES = {
    ("/v1/logs/{log}/records", "post"): (201, b"x"),
    ("/v1/logs/{log}", "put"): (201, b'{"retention":{"records":5}}'),
    ("/v1/logs/{log}", "patch"): (200, b'{"content_type":"text/plain"}'),
    ("/v1/logs/{log}", "delete"): (204, None),
    ("/v1/logs/{log}/trim", "post"): (200, b'{"before":1}'),
    ("/v1/logs/{log}/close", "post"): (200, None),
    ("/v1/batch", "post"): (201, b'{"appends":[{"log":"orders","records":["x"]}]}'),
}


@pytest.fixture(scope="module")
def documented(workspace) -> Server:
    """A server with the log `orders` that the contract's examples name and may delete."""
    server = Server(workspace / "openapi").start()
    with server.connect() as connection:
        append_ok(connection, "orders", framed([b"one", b"\xff\x00", b"three"]), FRAMED)
    yield server
    sys.stderr.write(server.log)
    assert server.is_running(), f"ended with {server.process.returncode}"
    server.stop()


def run_schemathesis(server: Server, contract: Path, *more: str) -> subprocess.CompletedProcess:
    """One run with a fixed seed and a bounded number of requests, without a database of earlier failures."""
    program = Path(sys.executable).parent / "schemathesis"
    configuration = Path(__file__).parent / "schemathesis.toml"
    command = [str(program), "--config-file", str(configuration), "run", str(contract), "--url", f"http://127.0.0.1:{server.port}", "--checks", CHECKS]
    command += ["--seed", SEED, "--max-examples", EXAMPLES, "--generation-database", "none", "--continue-on-failure", "--no-color"]
    command += ["--request-timeout", "20", "--suppress-health-check", "all", "--warnings", "off", *more]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, cwd=server.data_dir.parent)


def test_schemathesis_finds_no_disagreement(documented):
    ended = run_schemathesis(documented, CONTRACT)
    print(ended.stdout[-20_000:], ended.stderr[-5_000:])
    assert ended.returncode == 0
    found = re.search(r"Operations:\s+(\d+) selected", ended.stdout)
    tested = re.search(r"Tested:\s+(\d+)", ended.stdout)
    assert found and tested and int(found.group(1)) == int(tested.group(1)) == len(OPERATIONS)
    cases = re.search(r"(\d+) generated", ended.stdout)
    assert cases and int(cases.group(1)) > 20 * len(OPERATIONS)
    with documented.connect() as connection:
        assert stats(connection)["wal"]["records"] > 100, "hardly any append succeeded"


@pytest.mark.parametrize("break_it, complaint", [
    (lambda paths: paths["/v1/logs/{log}/records"]["post"]["responses"].pop("201"), "Received: 201"),
    (lambda paths: paths["/v1/logs/{log}"]["get"]["responses"].pop("404"), "Received: 404"),
    (lambda paths: paths["/healthz"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["required"].append("missing"), "Response violates schema"),
], ids=["status", "problem-status", "schema"])  # fmt: skip
def test_schemathesis_would_find_a_disagreement(start_server, workspace, break_it, complaint):
    # A server of its own: on the other one all logs that it would name may be closed.
    server = start_server()
    with server.connect() as connection:
        append_ok(connection, "orders", framed([b"one", b"two"]), FRAMED)
    broken = copy.deepcopy(DOCUMENT)
    break_it(broken["paths"])
    contract = workspace / "broken.yaml"
    contract.write_text(yaml.safe_dump(broken))
    ended = run_schemathesis(server, contract, "--max-failures", "1", "--phases", "examples,fuzzing", "--exclude-method", "HEAD")
    assert ended.returncode == 1 and complaint in ended.stdout, ended.stdout[-5_000:] + ended.stderr


@pytest.mark.parametrize("path, method", OPERATIONS, ids=[f"{method} {path}" for path, method in OPERATIONS])
def test_every_listed_operation_answers_its_success(documented, path, method):
    status, body = SUCCESSES.get((path, method), (200, None))
    # Schemathesis has deleted, trimmed and closed what it found.
    log = re.sub("[^a-z]", "", f"success{method}{path}")
    with documented.connect() as connection:
        if method != "put":
            append_ok(connection, log, b"there")
        response = connection.request(method.upper(), path.format(log=log, offset=0), {}, body)
    assert response.status == status, response
    described = DOCUMENT["paths"][path][method]["responses"][str(response.status)]
    assert response.media_type in described.get("content", {None: None})
    for name, header in described["headers"].items():
        if resolve(header).get("required"):
            assert response.header(name) is not None, name


def resolve(value: dict) -> dict:
    """What a reference within the contract refers to."""
    while "$ref" in value:
        target = DOCUMENT
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        value = target
    return value


def test_the_server_hands_out_the_committed_contract(documented):
    with documented.connect() as connection:
        response = get(connection, "/openapi.yaml")
    assert response.media_type == "application/yaml"
    assert response.body == CONTRACT.read_bytes()


def test_each_line_of_a_page_is_as_described(documented):
    schema = {"$ref": "#/components/schemas/RecordLine", "components": DOCUMENT["components"]}
    validator = jsonschema_rs.validator_for(schema)
    with documented.connect() as connection:
        append_ok(connection, "lines", framed([b"one", b"\xff\x00", b"three"]), FRAMED)
        lines = get(connection, records_target("lines")).body.splitlines()
    assert len(lines) >= 3
    for line in lines:
        validator.validate(yaml.safe_load(line))


@pytest.mark.parametrize("data, status", [
    (b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 20_000), 414),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nLong: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    (b"GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
])  # fmt: skip
def test_what_the_http_library_answers_by_itself_is_documented_in_every_operation(documented, data, status):
    with documented.connect() as connection:
        connection.send(data)
        assert connection.read_to_end().startswith(b"HTTP/1.1 %d " % status)
    for path, method in OPERATIONS:
        assert str(status) in DOCUMENT["paths"][path][method]["responses"], (path, method)


def test_what_the_service_refuses_anywhere_is_documented_in_every_operation(documented):
    refusals = {
        "ambiguous_length": encode_request("GET", "/healthz", {"Content-Length": "5", "Transfer-Encoding": "chunked"}),
        "invalid_host": b"GET /healthz HTTP/1.1\r\n\r\n",
        "unknown_transfer_coding": encode_request("GET", "/healthz", {"Transfer-Encoding": "gzip"}),
        "target_too_long": encode_request("GET", "/healthz?" + "a" * 3000),
        "body_too_large": encode_request("GET", "/healthz", {"Content-Length": "10000000"}),
    }
    for code, data in refusals.items():
        response = exchange(documented.port, data)
        assert response.json()["code"] == code, code
        for path, method in OPERATIONS:
            described = resolve(DOCUMENT["paths"][path][method]["responses"][str(response.status)])
            schema = {**described["content"]["application/problem+json"]["schema"], "components": DOCUMENT["components"]}
            jsonschema_rs.validator_for(schema).validate(response.json())


# MARK: What the code knows and the contract must

SOURCES = REPOSITORY / "Sources"


def in_sources(pattern: str, *places: str) -> set[str]:
    """What a pattern finds in the code of the HTTP interface."""
    files = [file for place in places or ("AppendLogService", "HTTPFrontEnd") for file in (SOURCES / place).rglob("*.swift")]
    return {found for file in files for found in re.findall(pattern, file.read_text())}


def parameters(path: str, method: str) -> set[tuple[str, str]]:
    """Where the parameters of an operation stand, and their names."""
    item = DOCUMENT["paths"][path]
    both = [resolve(parameter) for parameter in item.get("parameters", []) + item[method].get("parameters", [])]
    return {(parameter["in"], parameter["name"]) for parameter in both}


def test_every_problem_of_the_code_is_in_the_contract():
    codes = in_sources(r'code: "(\w+)"')
    assert len(codes) > 30
    text = CONTRACT.read_text()
    assert not {code for code in codes if not re.search(rf"\b{code}\b", text)}


def test_every_query_parameter_of_the_code_is_in_the_contract_and_the_reverse():
    found = {names for names in in_sources(r"Query\(query, names: \[(.*?)\]\)")}
    known = {frozenset(re.findall(r"\w+", names)) for names in found}
    operations = {(path, method): {name for place, name in parameters(path, method) if place == "query"} for path, method in OPERATIONS}
    listed = {frozenset(names) for names in operations.values() if names}
    assert known == listed and len(known) == 2
    assert "stream" in operations["/v1/logs/{log}/records", "get"]


def test_every_header_that_the_code_reads_is_in_the_contract():
    def words(names):
        # Those that OpenAPI forbids to list (3.1, 4.8.12.1), or that are HTTP's own.
        own = {"accept", "content-type", "host", "content-length", "transfer-encoding", "expect", "connection"}
        return {name.lower() for name in names} - own

    read = words(in_sources(r'eader\("([\w-]+)"\)') | in_sources(r'in: exchange, "([\w-]+)"') | in_sources(r'equal\(name, "([\w-]+)"\)'))
    listed = words(name for path, method in OPERATIONS for place, name in parameters(path, method) if place == "header")
    assert {"last-event-id", "if-match", "producer-seq"} <= read
    assert read == listed


def test_every_header_that_the_code_sends_is_in_the_contract():
    sent = in_sources(r'addHeader\("([\w-]+)"') | in_sources(r'\("([A-Z][a-z]+(?:-[A-Za-z]+)*)", "\\')
    assert {"X-Accel-Buffering", "Producer-Expected-Seq", "Retry-After"} <= sent
    listed = {
        name
        for path, method in OPERATIONS
        for response in DOCUMENT["paths"][path][method]["responses"].values()
        for name in resolve(response).get("headers", {})
    }
    assert sent - listed == {"Allow", "Connection", "Content-Type"}, "405 and its Allow stand in the description of all operations"


def test_every_member_of_the_stats_of_requests_is_described(documented):
    described = DOCUMENT["components"]["schemas"]["Stats"]["properties"]["requests"]
    with documented.connect() as connection:
        assert set(stats(connection)["requests"]) == set(described["properties"]) == set(described["required"])
