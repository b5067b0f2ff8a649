"""The processes that bench/run starts: the servers under load, and programs that run to their end."""
import contextlib
import http.client
import json
import os
import pathlib
import shlex
import subprocess
import time

BUILD = pathlib.Path(__file__).resolve().parent / "build"
START_SECONDS_MAX, STOP_SECONDS_MAX, POLL_SECONDS = 300, 60, 0.001


class Failure(Exception):
    """What went wrong, as a sentence for the user."""


class Server:
    """One server process on a free loopback port; ready once constructed. The creator calls `stop` or `kill`."""

    def __init__(self, name, command, data):
        self.name, self.log = name, BUILD / f"{name}.log"
        self.started = time.monotonic()
        with open(self.log, "wb") as log:  # a file: a pipe that nobody empties would stop the server
            self.process = subprocess.Popen(
                [*map(str, command), "--listen", "127.0.0.1:0", "--data-dir", str(data)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment())
        try:
            self.port = self.wait_for(self.listening_port, "say where it listens")
            self.wait_for(self.is_ready, "become ready")
        except BaseException:
            self.kill()
            raise
        self.ready_seconds = time.monotonic() - self.started

    def wait_for(self, condition, what):
        while time.monotonic() < self.started + START_SECONDS_MAX:
            if value := condition():
                return value
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended with {self.process.returncode}:\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)
        raise Failure(f"{self.name} did not {what} within {START_SECONDS_MAX} s:\n{self.log_tail()}")

    def log_tail(self):
        return self.log.read_text(errors="replace")[-2000:].strip()

    def listening_port(self):
        rest = self.log.read_text(errors="replace").partition("listening=127.0.0.1:")[2]
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        return int(digits) if digits and len(digits) < len(rest) else None

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def is_ready(self):
        try:
            return self.get("/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def stats(self):
        status, body = self.get("/v1/stats?limit=1")
        if status != 200:
            raise Failure(f"{self.name} answered /v1/stats with {status}: {body[:500]!r}")
        return json.loads(body)

    def cpu_seconds(self):
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """Resident memory now and at its highest, in MiB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return {name: round(int(fields[field].split()[0]) / 1024, 1)
                for name, field in (("rss_mib", "VmRSS"), ("rss_max_mib", "VmHWM"))}

    def stop(self):
        """Ends it as an operator would; one that does not drain and exit with 0 has failed."""
        self.process.terminate()
        try:
            code = self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} did not stop within {STOP_SECONDS_MAX} s:\n{self.log_tail()}") from None
        if code != 0:
            raise Failure(f"{self.name} exited with {code}:\n{self.log_tail()}")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def environment():
    """Without APPENDLOG_… variables: what the command line says is what is measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("APPENDLOG_")}


def output_of(command, seconds_max):
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds_max)
    except FileNotFoundError:
        raise Failure(f"{words[0]} is missing: run scripts/install-dependencies build bench") from None
    except subprocess.TimeoutExpired:
        raise Failure(f"{words[0]} did not end within {seconds_max} s") from None
    if done.returncode != 0:
        raise Failure(f"{shlex.join(words)} failed:\n{(done.stdout + done.stderr)[-2000:].strip()}")
    return done.stdout
