"""What a tree of processes costs, read from /proc: CPU seconds and resident bytes."""

import os
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


@dataclass(frozen=True)
class Stat:
    """One line of /proc/PID/stat: seconds of CPU, its reaped children's included."""

    pid: int
    name: str
    parent: int
    cpu: float


@dataclass(frozen=True)
class Footprint:
    """Memory of one process: resident, and its proportional share (PSS), in bytes."""

    pid: int
    command: str
    rss: int
    pss: int


def parse_stat(line: str) -> Stat:
    """Read a line of /proc/PID/stat (proc_pid_stat(5)). The name may hold spaces and brackets."""
    opening, closing = line.index("("), line.rindex(")")
    fields = line[closing + 2 :].split()
    ticks = sum(int(fields[index]) for index in (11, 12, 13, 14))  # utime, stime, cutime, cstime
    return Stat(int(line[:opening]), line[opening + 1 : closing], int(fields[1]), ticks / TICK)


def parse_status(text: str, field: str) -> int:
    """Return the bytes that `field` of /proc/PID/status or smaps_rollup says; 0 when it is not there (a zombie)."""
    for line in text.splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


def stats(proc: Path = PROC) -> dict[int, Stat]:
    """Return every process that can be read now."""
    found = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = parse_stat((entry / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended between the listing and the reading
    return found


def descendants(roots: list[int], everyone: dict[int, Stat]) -> list[int]:
    """Return `roots` and all their children's children that are alive, in no particular order."""
    children: dict[int, list[int]] = {}
    for stat in everyone.values():
        children.setdefault(stat.parent, []).append(stat.pid)
    tree, waiting = [], [pid for pid in roots if pid in everyone]
    while waiting:
        pid = waiting.pop()
        tree.append(pid)
        waiting.extend(children.get(pid, ()))
    return tree


def tree(roots: list[int]) -> list[int]:
    """Return the living processes under `roots`, themselves included."""
    return descendants(roots, stats())


def cpu_seconds(pids: list[int], proc: Path = PROC) -> float:
    """Return CPU seconds used so far by `pids`. One that is gone counts nothing (its parent has its time)."""
    total = 0.0
    for pid in pids:
        try:
            total += parse_stat((proc / str(pid) / "stat").read_text()).cpu
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def parse_busy(text: str) -> dict[int, float]:
    """Return, from /proc/stat, the seconds that each core has worked so far for processes, or for another machine.

    Idle time, waiting, and interrupts are left out: those of the network come from whatever is measured.
    """
    busy = {}
    for line in text.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            user, nice, system, _, _, _, _, steal = (int(field) for field in fields[:8])
            busy[int(name[3:])] = (user + nice + system + steal) / TICK
    return busy


def largest(prints: list[Footprint]) -> int:
    """Return the resident memory of the largest process, of those that serve calls where they say so."""
    workers = [one.rss for one in prints if "portico.worker" in one.command]
    return max(workers or [one.rss for one in prints], default=0)


def footprints(pids: list[int], proc: Path = PROC) -> list[Footprint]:
    """Return the memory of each of `pids` that is alive."""
    found = []
    for pid in pids:
        folder = proc / str(pid)
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            rss = parse_status((folder / "status").read_text(), "VmRSS")
            pss = parse_status((folder / "smaps_rollup").read_text(), "Pss") if rss else 0
        except (FileNotFoundError, ProcessLookupError):
            continue
        found.append(Footprint(pid, command, rss, pss))
    return found
