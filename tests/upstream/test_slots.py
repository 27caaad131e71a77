"""The table of calls under way: exact over all processes that share it, whatever becomes of them."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.queues import Queue
from pathlib import Path
from time import monotonic

import pytest

from portico.testing.running import eventually
from portico.upstream.gate import Gate, Gates
from portico.upstream.slots import BOARDS, OWN, Slots

CAP = 3
ROUNDS = 2000


def gate_of(slots: Slots, cap: int = CAP) -> Gate:
    found = Gates(slots).gate("one/model")
    assert found is not None
    found.bind(cap, False, 1)
    return found


def test_workers_see_what_the_others_have_under_way(tmp_path: Path) -> None:
    one, two = Slots(tmp_path / "slots"), Slots(tmp_path / "slots")
    first, second = gate_of(one), gate_of(two)
    assert one.column != two.column
    assert [first.take(1.0), second.take(1.0), first.take(1.0)] == [None] * 3
    assert second.take(1.0) is not None
    assert first.under_way == second.under_way == 3
    first.give_back()
    assert second.take(1.0) is None
    one.close()
    two.close()


def test_what_a_provider_said_to_one_worker_counts_for_all(tmp_path: Path) -> None:
    one, two = Slots(tmp_path / "slots"), Slots(tmp_path / "slots")
    first, second = gate_of(one, 0), gate_of(two, 0)
    for each in (first, second):
        each.adaptive = True
    first.refused(2.0, 1.0, 5.0)
    assert second.take(3.0) is not None
    assert second.limit == 1.0
    one.close()
    two.close()


def test_a_worker_that_leaves_gives_back_what_it_had(tmp_path: Path) -> None:
    one, two = Slots(tmp_path / "slots"), Slots(tmp_path / "slots")
    first, second = gate_of(one), gate_of(two)
    first.take(1.0)
    one.close()
    assert second.under_way == 0
    two.close()


def test_a_table_of_another_boot_begins_anew(tmp_path: Path) -> None:
    one = Slots(tmp_path / "slots")
    first = gate_of(one)
    first.adaptive = True
    first.refused(2.0, 1.0, 5.0)
    first.take(1.0)
    one.words[0] += 1
    os.close(one._column_file)  # as a process that ends
    os.close(one._file)
    two = Slots(tmp_path / "slots")
    second = gate_of(two)
    second.adaptive = True
    assert second.under_way == 0
    assert second.take(3.0) is None
    two.close()


def test_workers_know_what_the_calls_of_others_wait_for(tmp_path: Path) -> None:
    one, two = Slots(tmp_path / "slots"), Slots(tmp_path / "slots")
    key = ("team:core", "rule")
    assert not one.others_wait()
    board = one.stand(key)
    assert two.others_wait(key)
    assert two.others_wait()
    assert not one.others_wait(key)
    assert not two.others_wait("one/model")
    one.depart(board)
    assert not two.others_wait(key)
    left = one.stand("one/model")
    assert two.others_wait()
    one.close()
    one.depart(left)
    assert not two.others_wait()
    assert not two.others_wait("one/model")
    two.close()


def test_workers_know_whose_next_call_comes_first(tmp_path: Path) -> None:
    one, two = Slots(tmp_path / "slots"), Slots(tmp_path / "slots")
    board = one.stand("one/model")
    assert board is not None
    assert two.stand("one/model") == board
    assert one.tell(board, 7.0, 6.0) == 6.0
    assert two.tell(board, 8.0, 5.0) == 6.0
    assert one.first(board, 7.0)
    assert not two.first(board, 8.0)
    assert two.first(board, 7.0)
    one.depart(board)
    assert two.first(board, 8.0)
    two.depart(board)
    again = one.stand("one/model")
    assert again is not None
    assert one.tell(again, 1.0, 0.0) == 0.0  # nobody waited, and time begins anew
    one.close()
    two.close()


def test_there_are_no_more_boards_than_there_are() -> None:
    slots = Slots()
    found = [slots.stand(f"name-{number}") for number in range(2 * BOARDS)]
    told = [board for board in found if board is not None]
    assert len(set(told)) == len(told) > BOARDS // 2
    assert None in found
    for board in found:
        slots.depart(board)
    assert slots.stand("name-0") is not None


def test_names_that_hash_alike_have_rows_of_their_own() -> None:
    slots = Slots()
    rows = {slots.row(f"name-{number}") for number in range(1000)}
    assert len(rows) == 1000
    assert None not in rows
    assert slots.row("name-7") in rows
    slots.words[(slots.row("name-7") or 0) + OWN] = 5
    assert slots.count(slots.row("name-7") or 0) == 5


def _work(path: Path, most: "Queue[int]", hold: bool) -> None:
    slots = Slots(path)
    gate = gate_of(slots)
    seen = done = 0
    while done < ROUNDS:
        if gate.take(monotonic()) is None:
            seen = max(seen, gate.under_way)
            done += 1
            if hold:
                most.put(seen)
                signal.pause()
            gate.give_back()
    most.put(seen)


@pytest.fixture
def workers() -> Callable[..., multiprocessing.Process]:
    context = multiprocessing.get_context("spawn")

    def start(path: Path, most: "Queue[int]", *, hold: bool = False) -> multiprocessing.Process:
        process = context.Process(target=_work, args=(path, most, hold))
        process.start()
        return process  # type: ignore[return-value]  # a process all the same

    return start


def test_a_cap_is_never_passed_by_processes_that_race(
    tmp_path: Path, workers: Callable[..., multiprocessing.Process]
) -> None:
    most: Queue[int] = multiprocessing.get_context("spawn").Queue()
    slots = Slots(tmp_path / "slots")
    running = [workers(tmp_path / "slots", most) for _ in range(5)]
    seen = [most.get(timeout=60) for _ in running]
    for process in running:
        process.join(60)
    assert all(1 <= each <= CAP for each in seen)
    slots.sweep()
    assert gate_of(slots).under_way == 0
    slots.close()


def test_what_a_killed_process_had_is_found_by_another(
    tmp_path: Path, workers: Callable[..., multiprocessing.Process]
) -> None:
    most: Queue[int] = multiprocessing.get_context("spawn").Queue()
    slots = Slots(tmp_path / "slots")
    here = gate_of(slots)
    process = workers(tmp_path / "slots", most, hold=True)
    assert most.get(timeout=60) == 1
    assert here.under_way == 1
    slots.sweep()
    assert here.under_way == 1
    process.kill()
    process.join(60)

    def swept() -> bool:
        slots.sweep()
        return here.under_way == 0

    eventually(swept, "the dead process's calls are given back")
    slots.close()
