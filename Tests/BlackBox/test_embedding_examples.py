"""The library as a stranger uses it: the programs of Examples, every program in its documentation, and the documentation itself."""

from __future__ import annotations

import collections
import json
import random
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from server import REPOSITORY
from test_examples import BLOCK, examples

BUILD = REPOSITORY / ".build"
ARTICLES = REPOSITORY / "Sources/WriteAheadLog/WriteAheadLog.docc"
#: Documents, each of which is a program: its swift blocks one behind another.
DOCUMENTS = {
    "Readme": REPOSITORY / "README.md",
    "Landing": ARTICLES / "WriteAheadLog.md",
    "GettingStarted": ARTICLES / "GettingStarted.md",
    "Speed": ARTICLES / "Speed.md",
}
MANIFEST = "// swift-tools-version"
LOCAL = f'.package(name: "appendlog", path: "{REPOSITORY}")'


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.M | re.S)


def write(path: Path, text: str) -> None:
    """Leaves a file alone that is right: it need not be compiled again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def run(*command: object, timeout: float = 60, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout, **more)


@pytest.fixture(scope="session")
def programs() -> Path:
    """Examples, with a program for each document beside its own, built: where the executables are."""
    package = BUILD / "embedding"
    manifest = (REPOSITORY / "Examples/Package.swift").read_text()
    assert '.package(name: "appendlog", path: "..")' in manifest
    manifest = manifest.replace('.package(name: "appendlog", path: "..")', LOCAL)
    for source in (REPOSITORY / "Examples/Sources").rglob("*.swift"):
        write(package / source.relative_to(REPOSITORY / "Examples"), source.read_text())
    for name, document in DOCUMENTS.items():
        program = "\n".join(block for block in blocks(document, "swift") if not block.startswith(MANIFEST))
        write(package / "Sources" / name / "main.swift", program)
        manifest += (
            f'package.targets.append(.executableTarget(name: "{name}", dependencies: '
            '[.product(name: "WriteAheadLog", package: "appendlog")]))\n'
        )
    write(package / "Package.swift", manifest)
    built = run("swift", "build", "--package-path", package, "--scratch-path", package / ".build", timeout=600)
    assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
    assert "warning:" not in built.stdout, built.stdout
    return package / ".build/debug"


@pytest.fixture
def place(directory: Path) -> Iterator[Path]:
    """A directory on a disk to run in."""
    directory.mkdir()
    yield directory


# The documentation


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_program_of_the_documentation_prints_what_is_shown(programs: Path, place: Path, name: str):
    shown = "".join(blocks(DOCUMENTS[name], "text"))
    try:
        ended = run(programs / name, cwd=place)
    finally:
        # The tutorial's log in memory.
        shutil.rmtree("/dev/shm/notes-test-log", ignore_errors=True)
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", shown)
    assert shown


def test_the_manifest_of_the_tutorial_is_one(programs: Path, place: Path):
    [manifest] = [block for block in blocks(DOCUMENTS["GettingStarted"], "swift") if block.startswith(MANIFEST)]
    manifest, count = re.subn(r'\.package\(url: "[^"]*", branch: "main"\)', LOCAL, manifest)
    assert count == 1
    write(place / "Package.swift", manifest)
    ended = run("swift", "package", "--package-path", place, "--scratch-path", place / ".build", "dump-package")
    assert ended.returncode == 0, ended.stderr
    [dependency] = json.loads(ended.stdout)["targets"][0]["dependencies"]
    assert dependency["product"][:2] == ["WriteAheadLog", "appendlog"]


def test_the_documentation_builds_and_every_public_symbol_is_documented():
    ended = run(REPOSITORY / "scripts/build-documentation", timeout=600)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    assert (BUILD / "documentation/documentation/writeaheadlog").exists()
    symbols = json.loads((BUILD / "symbol-graphs/WriteAheadLog.symbols.json").read_text())["symbols"]
    assert len(symbols) > 100
    # Extraction was told to leave out what the compiler adds by itself.
    silent = [".".join(symbol["pathComponents"]) for symbol in symbols if "docComment" not in symbol]
    assert silent == []


# The examples as they are shown


def plain(text: str) -> str:
    """Without what differs from run to run."""
    text = re.sub(r"in \d+ batches", "in N batches", text)
    text = re.sub(r"p(50|99) \d+ µs", r"p\1 N µs", text)
    return re.sub(r"engine \w+, mode \w+", "engine E, mode M", text).strip()


def test_the_examples_give_what_their_readme_shows(programs: Path, place: Path):
    count = 0
    for block in BLOCK.findall((REPOSITORY / "Examples/README.md").read_text()):
        for command, shown in examples(block):
            ended = run("bash", "-c", command.replace(".build/debug/", f"{programs}/"), cwd=place)
            assert ended.returncode == 0, (command, ended.stderr)
            assert plain(ended.stdout) == plain(shown), command
            count += 1
    assert count == 8


# What they refuse

#: Words behind the program that are wrong.
WRONG = {
    "JobQueue": [[], ["d"], ["d", "add"], ["d", "work", "x"], ["d", "serve", "x"], ["d", "list", "x"], ["d", "other"]],
    "EventCounter": [
        [], ["d"], ["d", "add"], ["d", "add", "two words"], ["d", "add", "a", "x"], ["d", "add", "a", "99999999999"],
        ["d", "count", "0", "1"], ["d", "count", "1"], ["d", "count", "1", "1", "-x"], ["d", "show", "x"], ["d", "other"],
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_told_the_usage_and_touch_nothing(programs: Path, place: Path, name: str):
    for words in WRONG[name]:
        ended = run(programs / name, *words, cwd=place)
        assert (ended.returncode, ended.stdout) == (64, ""), words
        assert ended.stderr.startswith(f"usage: {name} DIRECTORY "), words
    assert list(place.iterdir()) == []


def test_a_second_process_is_refused_by_name_and_the_first_one_goes_on(programs: Path, place: Path):
    with subprocess.Popen([programs / "JobQueue", "q", "serve"], cwd=place, text=True, stdin=-1, stdout=-1) as first:
        first.stdin.write("true\n")
        first.stdin.flush()
        assert first.stdout.readline() == "accepted 0\n"
        second = run(programs / "JobQueue", "q", "list", cwd=place)
        assert (second.returncode, second.stdout, second.stderr) == (75, "", "error: the log in q is open already\n")
        first.stdin.close()
        assert first.stdout.read() == "done 0\n"
    assert first.returncode == 0
    assert run(programs / "JobQueue", "q", "list", cwd=place).stdout == ""


def test_what_cannot_be_opened_is_named(programs: Path, place: Path):
    assert run(programs / "EventCounter", "c", "add", "a", cwd=place).returncode == 0
    for words, error in [
        (["JobQueue", "c", "list"], "error: the record at 0 was not written by a job queue\n"),
        (["JobQueue", "/proc/none", "list"], "error: mkdir /proc/none: No such file or directory (errno 2)\n"),
        (
            ["JobQueue", "/dev/shm/appendlog-examples", "list"],
            "error: the directory /dev/shm/appendlog-examples is on tmpfs, where a sync may make nothing durable: choose one "
            "on a real disk, or set allowsUnsafeFileSystem\n",
        ),
    ]:
        ended = run(programs / words[0], *words[1:], cwd=place)
        assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", error)
        assert words[1] == "c" or not Path(words[1]).exists()


# Killed


def kill_after(process: subprocess.Popen[str], count: int, word: str) -> list[str]:
    """Kills a process when it has said so many lines that begin with a word. Returns all that it said, without a line that was cut."""
    watch = threading.Timer(120, process.kill)
    watch.start()
    lines = []
    while count > 0 and (line := process.stdout.readline()):
        lines.append(line)
        count -= line.startswith(word)
    process.kill()
    watch.cancel()
    assert count == 0, lines[-3:]
    lines += process.stdout.readlines()
    process.wait()
    return [line.rstrip("\n") for line in lines if line.endswith("\n")]


def test_no_accepted_job_is_lost_and_no_done_one_runs_again_through_kills(programs: Path, place: Path):
    chance = random.Random(20261123)
    kills, sent = 25, 0
    commands: dict[str, int] = {}
    done: set[str] = set()
    ran_before: collections.Counter[int] = collections.Counter()
    for _ in range(kills):
        # As many as a round cannot work off; each says which it is.
        lines = [f"echo {number} >> ran" for number in range(sent, sent + 300)]
        write(place / "input", "\n".join(lines) + "\n")
        with (place / "input").open() as given:
            process = subprocess.Popen(
                [programs / "JobQueue", "q", "serve"], cwd=place, text=True, stdin=given, stdout=-1, stderr=-1
            )
            said = kill_after(process, chance.randrange(1, 30), "done")
        # In the order of the input: all that is said accepted is its beginning.
        for index, word in enumerate(line.split()[1] for line in said if line.startswith("accepted")):
            commands[word] = sent + index
        sent += 300
        ran = collections.Counter(map(int, (place / "ran").read_text().split())) if (place / "ran").exists() else ran_before
        for word in done & commands.keys():
            assert ran[commands[word]] == ran_before[commands[word]], "a job that was done ran again"
        done |= {line.split()[1] for line in said if line.startswith("done")}
        ran_before = ran
    # Long enough to let go of what is done, and then killed.
    for _ in range(5):
        process = subprocess.Popen([programs / "JobQueue", "q", "work"], cwd=place, text=True, stdout=-1)
        done |= {line.split()[1] for line in kill_after(process, chance.randrange(110, 250), "done")}
    ran_before = collections.Counter(map(int, (place / "ran").read_text().split()))
    assert run(programs / "JobQueue", "q", "work", cwd=place, timeout=300).returncode == 0
    ran = collections.Counter(map(int, (place / "ran").read_text().split()))
    assert all(ran[number] >= 1 for number in commands.values()), "an accepted job was lost"
    assert all(ran[commands[word]] == ran_before[commands[word]] for word in done & commands.keys())
    assert sum(ran.values()) - len(ran) <= kills + 5, "more ran again than were under way"
    assert run(programs / "JobQueue", "q", "list", cwd=place).stdout == ""


def test_no_acknowledged_event_is_lost_or_counted_twice_through_kills(programs: Path, place: Path):
    chance = random.Random(20261123)
    tasks, kills = 8, 25
    values = dict.fromkeys((f"task-{task}" for task in range(1, tasks + 1)), 0)
    for _ in range(kills):
        process = subprocess.Popen(
            [programs / "EventCounter", "c", "count", str(tasks), "1000000", "-v"], cwd=place, text=True, stdout=-1
        )
        acknowledged = dict.fromkeys(values, 0)
        for line in kill_after(process, chance.randrange(1, 1_000), "task"):
            name, number = line.split()
            acknowledged[name] = max(acknowledged[name], int(number))
        shown = dict(line.split() for line in run(programs / "EventCounter", "c", "show", cwd=place).stdout.splitlines())
        for name, value in values.items():
            found = int(shown.get(name, 0)) - value
            # Each task waits for one event at a time: one more may be there, unsaid. What is said lags by a line at the most.
            assert acknowledged[name] <= found <= acknowledged[name] + 2, (name, value, acknowledged[name], found)
            values[name] += found
    assert sum(values.values()) > 5_000, "hardly a snapshot was taken"
