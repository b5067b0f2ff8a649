"""The embedded log asks for no memory per append: counted at N and at 3 N records, in an optimized build."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from server import REPOSITORY

#: What may grow slower than the records: marks of the index, one for each 256 KiB.
GROWTH_MAX = 20


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    library = tmp_path_factory.mktemp("counter") / "counting_malloc.so"
    source = REPOSITORY / "Tests/BlackBox/counting_malloc.c"
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


@pytest.fixture(scope="module")
def program():
    build = ["swift", "build", "-c", "release", "--product", "wal-bench"]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True, timeout=900)
    return REPOSITORY / ".build/release/wal-bench"


def allocations(program, counter, directory, count: int) -> int:
    ended = subprocess.run(
        [program, directory, "count", str(count), "128", "60"],
        env={**os.environ, "LD_PRELOAD": str(counter)}, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return int(re.search(r"allocations: (\d+)", ended.stderr)[1])


def test_an_append_allocates_nothing(program, counter, directory):
    directory.mkdir(parents=True)
    few = allocations(program, counter, directory / "few", 2_000)
    many = allocations(program, counter, directory / "many", 6_000)
    assert many - few <= GROWTH_MAX, f"{few} for 2,000 records, {many} for 6,000"
