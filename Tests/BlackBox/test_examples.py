"""Every example of the documentation, run as it stands there against a fresh server, gives what is shown."""

from __future__ import annotations

import re
import subprocess

import pytest

from server import REPOSITORY

#: Runs a console block's commands; `$ ` begins one, further lines belong to it while it is not complete.
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
DOCUMENTS = ["README.md", "docs/HTTP.md"]

#: What differs from run to run, and what stands for it.
VARIABLE = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"), "TIME"),
    (re.compile(r"Date: [^\r\n]+"), "Date: DATE"),
    (re.compile(r'"id":\d+'), '"id":ID'),
    (re.compile(r'ETag: "(?:[0-9a-f]{1,16}\.)?\d+'), 'ETag: "ID'),
    (re.compile(r"/records\?log_id=\d+|log_id=\d+"), "log_id=ID"),
]


def examples(block: str) -> list[tuple[str, str]]:
    """The commands of a block and what is shown behind each."""
    found = []
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        lines = part.split("\n")
        count = 1
        while not is_complete("\n".join(lines[:count])):
            count += 1
        found.append(("\n".join(lines[:count]), "\n".join(lines[count:]).strip()))
    return found


def is_complete(command: str) -> bool:
    return not command.endswith("\\") and command.count("'") % 2 == 0


def plain(text: str) -> str:
    """Without what differs from run to run."""
    for pattern, name in VARIABLE:
        text = pattern.sub(name, text)
    return text.replace("\r", "").strip()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_examples_give_what_is_shown(start_server, document):
    server = start_server()
    count = 0
    for block in BLOCK.findall((REPOSITORY / document).read_text()):
        for command, shown in examples(block):
            if "curl" not in command:
                continue
            local = command.replace("127.0.0.1:4437", f"127.0.0.1:{server.port}").replace("curl ", "curl -sS ")
            ended = subprocess.run(["bash", "-c", local], capture_output=True, text=True, timeout=30)
            assert ended.returncode == 0, (command, ended.stderr)
            assert plain(ended.stdout) == plain(shown), command
            count += 1
    assert count >= 5, f"{document} has {count} examples"


def test_an_example_that_is_wrong_would_be_seen():
    assert examples("$ a 'x\ny' \\\n  b\nout\n\n$ c\n") == [("a 'x\ny' \\\n  b", "out"), ("c", "")]
    assert plain('{"t":"2026-11-22T23:16:35.488572Z","n":1}') == plain('{"t":"2026-01-01T00:00:00.000000Z","n":1}') != plain("{}")
