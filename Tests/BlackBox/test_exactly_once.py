"""Producers and idempotency keys: a request that is sent again and again, across crashes too, is appended once."""

from __future__ import annotations

import os
import random
import threading

import pytest

from client import append, append_ok, check_appended, check_problem, check_replayed, producer, read_all, records_target, send_json
from rawhttp import ConnectionEnded, encode_request
from server import Server, wait_until
from test_pending import LINGER, waiting

SEED = int(os.environ.get("APPENDLOG_CRASH_SEED", "20261123"))


def send(connection, log: str, body: bytes, name: str, epoch: int, sequence: int):
    return append(connection, log, body, headers=producer(name, epoch, sequence))


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


# Producers


def test_a_repeat_gets_the_first_answer_and_appends_nothing(connection, log):
    first = send(connection, log, b"a", "p", 0, 0)
    check_appended(first, log)
    check_replayed(send(connection, log, b"a", "p", 0, 0), first)
    second = send(connection, log, b"b", "p", 0, 1)
    assert check_appended(second, log)["first"] == 1
    check_replayed(send(connection, log, b"b", "p", 0, 1), second)
    check_replayed(send(connection, log, b"a", "p", 0, 0), first)
    assert read_all(connection, log) == [b"a", b"b"]


def test_a_gap_is_refused_with_what_was_expected_and_received(connection, log):
    check_appended(send(connection, log, b"a", "p", 0, 0), log)
    response = send(connection, log, b"c", "p", 0, 2)
    check_problem(response, 409, "sequence_gap", expected=1, received=2)
    assert response.header("producer-expected-seq") == "1" and response.header("producer-received-seq") == "2"
    check_appended(send(connection, log, b"b", "p", 0, 1), log)
    check_appended(send(connection, log, b"c", "p", 0, 2), log)
    assert read_all(connection, log) == [b"a", b"b", b"c"]


def test_a_new_producer_begins_with_0(connection, log):
    append_ok(connection, log, b"other")
    check_problem(send(connection, log, b"x", "p", 0, 1), 409, "sequence_gap", expected=0, received=1)
    check_problem(send(connection, log, b"x", "p", 7, 3), 409, "sequence_gap", expected=0, received=3)
    check_appended(send(connection, log, b"a", "p", 7, 0), log)


def test_a_new_epoch_fences_the_zombie(connection, log):
    check_appended(send(connection, log, b"a", "p", 1, 0), log)
    check_problem(send(connection, log, b"x", "p", 2, 1), 409, "sequence_gap", expected=0, received=1)
    check_appended(send(connection, log, b"b", "p", 2, 0), log)
    for sequence in (0, 1, 5):
        response = send(connection, log, b"zombie", "p", 1, sequence)
        check_problem(response, 403, "producer_fenced", epoch=2)
        assert response.header("producer-epoch") == "2"
    check_appended(send(connection, log, b"c", "p", 2, 1), log)
    assert read_all(connection, log) == [b"a", b"b", b"c"]


def test_the_last_64_answers_are_remembered_and_older_ones_are_told_apart(connection, log):
    answers = [send(connection, log, b"%d" % number, "p", 0, number) for number in range(66)]
    for number in (2, 3, 40, 65):
        check_replayed(send(connection, log, b"%d" % number, "p", 0, number), answers[number])
    for number in (0, 1):
        check_problem(send(connection, log, b"%d" % number, "p", 0, number), 409, "duplicate_forgotten")
    assert len(read_all(connection, log)) == 66


def test_producers_and_logs_do_not_know_each_other(connection, log):
    for name in ("p", "q", "P"):
        for target in (f"{log}.a", f"{log}.b"):
            assert check_appended(send(connection, target, b"x", name, 0, 0), target)["count"] == 1
    assert [len(read_all(connection, f"{log}.{which}")) for which in "ab"] == [3, 3]


@pytest.mark.parametrize("missing", ["Producer-Id", "Producer-Epoch", "Producer-Seq"])
def test_all_three_headers_are_there_or_none(connection, log, missing):
    headers = producer("p", 0, 0)
    del headers[missing]
    check_problem(append(connection, log, b"x", headers=headers), 400, "invalid_append_header")
    check_problem(append(connection, log, b"x", headers={missing: "0"}), 400, "invalid_append_header")
    assert connection.request("GET", f"/v1/logs/{log}").status == 404


@pytest.mark.parametrize("wrong", [
    {"Producer-Id": ""}, {"Producer-Id": "a b"}, {"Producer-Id": "a" * 129}, {"Producer-Id": "\xe9"}, {"Producer-Epoch": "-1"},
    {"Producer-Epoch": "1.0"}, {"Producer-Epoch": ""}, {"Producer-Epoch": "9223372036854775808"}, {"Producer-Seq": "x"},
    {"Producer-Seq": "+1"}, {"Producer-Seq": "0x1"}, {"Producer-Seq": "0\r\nProducer-Seq: 0"}, {"Idempotency-Key": "k"},
])  # fmt: skip
def test_headers_that_are_wrong_are_refused(connection, log, wrong):
    response = append(connection, log, b"x", headers=producer("p", 0, 0) | wrong)
    check_problem(response, 400, "invalid_append_header")
    assert connection.request("GET", f"/v1/logs/{log}").status == 404


def test_the_largest_numbers_and_names_are_taken(connection, log):
    check_appended(send(connection, log, b"a", "~" * 128, 2**63 - 1, 0), log)
    check_problem(send(connection, log, b"x", "~" * 128, 0, 0), 403, "producer_fenced", epoch=2**63 - 1)


def test_header_names_are_taken_in_any_case(connection, log):
    first = append(connection, log, b"a", headers={"PRODUCER-ID": "p", "producer-epoch": "0", "pRODUCER-sEQ": "0"})
    check_appended(first, log)
    check_replayed(send(connection, log, b"a", "p", 0, 0), first)


# Keys


def test_a_key_makes_an_append_happen_once(connection, log):
    first = append(connection, log, b"a", headers=key(log))
    check_appended(first, log)
    append_ok(connection, log, b"other")
    check_replayed(append(connection, log, b"a", headers=key(log)), first)
    check_appended(append(connection, log, b"a", headers=key(log + "2")), log)
    assert read_all(connection, log) == [b"a", b"other", b"a"]


def test_a_key_with_another_body_is_refused(connection, log):
    first = append(connection, log, b"a", headers=key(log))
    for body in (b"b", b"aa", b"A"):
        check_problem(append(connection, log, body, headers=key(log)), 422, "key_reused")
    check_replayed(append(connection, log, b"a", headers=key(log)), first)
    assert read_all(connection, log) == [b"a"]


@pytest.mark.parametrize("wrong", ["", "a b", "k" * 129, "\xe9", "a\r\nIdempotency-Key: a"])
def test_a_key_that_is_wrong_is_refused(connection, log, wrong):
    check_problem(append(connection, log, b"x", headers=key(wrong)), 400, "invalid_append_header")


def test_a_repeat_of_what_is_in_flight_waits_for_it(start_server, log):
    server = start_server(*LINGER)
    for headers in (producer("p", 0, 0), key("k")):
        request = encode_request("POST", records_target(log), headers, b"x")
        with server.connect() as reader, server.connect() as one, server.connect() as two:
            one.send(request)
            waiting(reader, 1)
            two.send(request)
            waiting(reader, 2)
            first, second = one.read_response(), two.read_response()
            check_appended(first, log)
            check_replayed(second, first)
    with server.connect() as connection:
        assert len(read_all(connection, log)) == 2


def test_a_success_is_repeated_though_the_log_was_closed_or_trimmed(connection, log):
    by_producer, by_key = send(connection, log, b"a", "p", 0, 0), append(connection, log, b"b", headers=key(log))
    assert send_json(connection, "POST", f"/v1/logs/{log}/trim", {"before": 2}).status == 200
    assert connection.request("POST", f"/v1/logs/{log}/close").status == 200
    check_replayed(send(connection, log, b"a", "p", 0, 0), by_producer)
    check_replayed(append(connection, log, b"b", headers=key(log)), by_key)
    check_problem(send(connection, log, b"c", "p", 0, 1), 409, "log_closed", next=2)


def test_a_new_log_of_the_old_name_knows_neither_producers_nor_keys(connection, log):
    send(connection, log, b"old", "p", 3, 0)
    append(connection, log, b"old", headers=key(log))
    assert connection.request("DELETE", f"/v1/logs/{log}").status == 204
    assert check_appended(send(connection, log, b"new", "p", 0, 0), log)["first"] == 0
    answer = append(connection, log, b"other", headers=key(log))
    assert check_appended(answer, log)["first"] == 1 and answer.header("idempotent-replayed") is None


def test_answers_are_remembered_across_restarts_and_turned_segments(start_server, log):
    server = start_server()
    with server.connect() as connection:
        numbered = [send(connection, log, b"%d" % number, "p", 2, number) for number in range(70)]
        keyed = append(connection, log, b"keyed", headers=key("k"))
    for round_number in range(3):
        with server.connect() as connection:
            for _ in range(6):
                append_ok(connection, "filler", b"f" * 1_000_000)
            for number in (6, 30, 69):
                check_replayed(send(connection, log, b"%d" % number, "p", 2, number), numbered[number])
            check_problem(send(connection, log, b"5", "p", 2, 5), 409, "duplicate_forgotten")
            check_problem(send(connection, log, b"x", "p", 1, 0), 403, "producer_fenced", epoch=2)
            check_problem(send(connection, log, b"x", "p", 2, 71), 409, "sequence_gap", expected=70, received=71)
            check_replayed(append(connection, log, b"keyed", headers=key("k")), keyed)
            check_problem(append(connection, log, b"x", headers=key("k")), 422, "key_reused")
            assert len(read_all(connection, log)) == 71
        server.kill() if round_number == 0 else server.stop()
        server = start_server()


# Crashes


class Retrier(threading.Thread):
    """Sends numbered requests one after the other, each again and again until it is answered, across restarts."""

    def __init__(self, test: Crashes, name: str, keyed: bool) -> None:
        super().__init__(name=name, daemon=True)
        self.test, self.keyed = test, keyed
        self.chance = random.Random(f"{SEED}/{name}")
        self.answers: list[dict] = []
        self.bodies: list[bytes] = []
        self.replays = 0
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.test.is_over:
                self.bodies.append(f"{self.name}/{len(self.bodies)}:".encode() + b"x" * self.chance.choice((0, 100, 5_000)))
                self.answers.append(self.until_answered(len(self.bodies) - 1))
        except BaseException as fault:  # noqa: BLE001 — handed to the test, which fails with it
            self.fault = fault

    def until_answered(self, number: int) -> dict:
        headers = key(f"{self.name}/{number}") if self.keyed else producer(self.name, 0, number)
        while True:
            server = self.test.server
            try:
                with server.connect() as connection:
                    response = append(connection, "shared", self.bodies[number], headers=headers)
            except (ConnectionEnded, ConnectionError):
                wait_until(lambda: self.test.server is not server, "the next server")
                continue
            if response.status == 503:
                continue
            self.replays += response.header("idempotent-replayed") == "true"
            # Sent once more now and then, though it is answered.
            if self.chance.random() < 0.1:
                self.send_again(response, number, headers)
            return check_appended(response, "shared")

    def send_again(self, response, number: int, headers: dict[str, str]) -> None:
        try:
            with self.test.server.connect() as connection:
                again = append(connection, "shared", self.bodies[number], headers=headers)
        except (ConnectionEnded, ConnectionError):
            return
        assert (again.status, again.body) == (201, response.body), (again, response)


class Crashes:
    """Servers that are killed under a load of retriers, over one directory."""

    def __init__(self, start_server) -> None:
        self.start_server = start_server
        self.server: Server = start_server()
        self.is_over = False

    def run(self, rounds: int, chance: random.Random, retriers: list[Retrier]) -> None:
        for thread in retriers:
            thread.start()
        for _ in range(rounds):
            wanted = sum(len(one.answers) for one in retriers) + chance.randint(1, 80)
            wait_until(lambda: any(one.fault for one in retriers) or sum(len(one.answers) for one in retriers) >= wanted, "answers")
            self.server.kill()
            self.server = self.start_server(ready=False)
        self.is_over = True
        for thread in retriers:
            thread.join(60)
            assert not thread.is_alive(), f"{thread.name} still retries"
            if thread.fault:
                raise thread.fault


def test_kills_under_a_load_of_retries_leave_every_request_once_and_in_order(start_server):
    print(f"seed {SEED}; repeat with APPENDLOG_CRASH_SEED={SEED}")
    crashes = Crashes(start_server)
    retriers = [Retrier(crashes, f"{'key' if index % 2 else 'producer'}{index}", keyed=index % 2 == 1) for index in range(8)]
    crashes.run(15, random.Random(SEED), retriers)
    with crashes.server.connect() as connection:
        records = read_all(connection, "shared")
    assert len(records) == len(set(records)), "something is there twice"
    place = {record: offset for offset, record in enumerate(records)}
    for one in retriers:
        assert len(one.answers) == len(one.bodies) > 0
        offsets = [place.pop(body) for body in one.bodies]
        assert offsets == [answer["first"] for answer in one.answers], f"{one.name} was told other offsets"
        assert offsets == sorted(offsets), f"{one.name} is out of order"
    assert not place, "something is there that nobody sent"
    assert sum(one.replays for one in retriers) > 0, "no retry met what a crash had left: this proves nothing"
