"""What processes cost, from /proc."""

import os

import pytest

from bench import procfs

REST = "S 1 100 100 0 -1 4194560 900 0 0 0 {ticks} 20 0 4 0 300 250000000 8000"


@pytest.mark.parametrize("name", ["nginx", "a b", "odd) R 7 (name"])
def test_a_line_of_stat_is_read_whatever_the_process_is_called(name):
    stat = procfs.parse_stat(f"42 ({name}) {REST.format(ticks='150 50 30 20')}")
    assert stat == procfs.Stat(pid=42, name=name, parent=1, cpu=250 / procfs.TICK)


def test_a_tree_is_the_roots_with_all_that_came_of_them():
    parents = {1: 0, 10: 1, 11: 10, 12: 10, 13: 12, 20: 1, 21: 20}
    everyone = {pid: procfs.Stat(pid, "x", parent, 0.0) for pid, parent in parents.items()}
    assert sorted(procfs.descendants([10], everyone)) == [10, 11, 12, 13]
    assert sorted(procfs.descendants([10, 21], everyone)) == [10, 11, 12, 13, 21]
    assert procfs.descendants([99], everyone) == []


def test_memory_is_read_in_bytes_and_is_zero_where_there_is_none():
    text = "Name:\tpython\nVmPeak:\t  90000 kB\nVmRSS:\t   51200 kB\n"
    assert procfs.parse_status(text, "VmRSS") == 51200 * 1024
    assert procfs.parse_status("Name:\tgone\nState:\tZ (zombie)\n", "VmRSS") == 0


def test_a_core_is_busy_with_processes_not_with_idling_waiting_and_interrupts():
    text = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 20 30 900 50 5 10 35 0 0\ncpu1 1 0 0 0 0 0 0 0 0 0\nintr 12 0\n"
    assert procfs.parse_busy(text) == {0: 185 / procfs.TICK, 1: 1 / procfs.TICK}


def test_this_process_is_found_with_its_memory_and_time():
    here = os.getpid()
    assert here in procfs.tree([here])
    (own,) = procfs.footprints([here])
    assert own.rss > 1 << 20
    assert own.pss > 0
    assert "python" in own.command
    assert procfs.cpu_seconds([here]) > 0


def test_a_process_that_is_gone_costs_nothing():
    assert procfs.cpu_seconds([2**22 + 1]) == 0
    assert procfs.footprints([2**22 + 1]) == []
