"""The machine of a run: which core does what, what must be installed, and what the figures were taken on."""

import os
import platform
import shutil
import socket
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "bench"


class Missing(Exception):  # a condition of this machine, told to a person
    """Something that the run, or one subject, cannot do without."""


def cores() -> tuple[list[str], list[str]]:
    """Return the command prefixes that pin the subject, and the load with the mock, each to a core of its own.

    On a machine with a single core, or without taskset, both are empty: all share, no figure means much.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2 or not shutil.which("taskset"):
        return [], []
    return ["taskset", "-c", str(usable[0])], ["taskset", "-c", str(usable[1])]


def require(program: str, package: str) -> str:
    """Return the path of `program`; where it is missing, install Debian's `package` when that is possible."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found:
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing {package} (it has {program})", flush=True)
        quiet = {"check": False, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update"], env=environment, **quiet)  # type: ignore[call-overload]
        subprocess.run(["apt-get", "install", "-y", package], env=environment, **quiet)  # type: ignore[call-overload]
        found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if found:
            return found
    raise Missing(f"{program} is not installed (Debian: apt-get install {package})")


def free_port() -> int:
    """Return a port of the loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int) -> bool:
    """Tell whether somebody accepts connections on `port` of the loopback."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def described() -> dict[str, str]:
    """Return what a reader must know of the machine: processor, cores, memory, kernel, Python, other load."""
    cpu, memory = platform.processor() or platform.machine(), ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal"):
            memory = f"{int(line.split()[1]) / 1024 / 1024:.0f} GB"
    return {
        "processor": cpu,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": memory,
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }
