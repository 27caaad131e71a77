"""The listening sockets: opened once, kept open here, and handed down to whoever accepts from them."""

# ruff: noqa: PTH108 -- see the package

import contextlib
import errno
import os
import socket
import stat
import struct
import sys

from portico.supervisor import TAKEN, CannotStart

BACKLOG = 4096
SO_ATTACH_FILTER = 26
"""Of Linux (asm-generic/socket.h); Python has no name for it."""


def open_port(host: str, port: int, workers: int) -> list[list[socket.socket]]:
    """Return, for each worker, its own listening sockets: one for each address that `host` stands for.

    Each worker has its own (SO_REUSEPORT), because the kernel then spreads connections evenly; from one shared socket a
    worker that is awake takes nearly all (docs/decisions/, "a socket per worker"). Port 0 takes a free one, the same
    for all. Raises CannotStart.
    """
    own = workers > 1 and sys.platform == "linux"
    try:
        found = socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CannotStart(f"the host {host!r} cannot be listened on: {error.strerror}", TAKEN) from error
    addresses = list(dict.fromkeys((family, address[0]) for family, _, _, _, address in found))
    by_worker: list[list[socket.socket]] = [[] for _ in range(workers)]
    try:
        for family, address in addresses:
            if port and own:
                # With SO_REUSEPORT alone we would quietly share the port with another program of the same user.
                _bound(family, str(address), port, own=False).close()
            for sockets in by_worker if own else by_worker[:1]:
                sock = _bound(family, str(address), port, own=own)
                sockets.append(sock)
                sock.listen(BACKLOG)
                port = sock.getsockname()[1]
    except OSError as error:
        for sockets in by_worker:
            for sock in sockets:
                sock.close()
        raise CannotStart(_reason(error, host, port), TAKEN) from error
    if not own:
        by_worker = [by_worker[0] for _ in range(workers)]
    return by_worker


def take_no_more(sock: socket.socket) -> None:
    """Let no new connection begin on a listening socket; those that have begun go on and can be accepted.

    A close alone would reset whoever is in the queue at that moment, with a request already sent. On Linux a filter on
    the socket drops the first packet of each connection (a SYN without ACK), so the queue can be emptied first; such a
    caller is refused when its kernel tries again, a second later. Elsewhere nothing is done.
    """
    if sys.platform != "linux" or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    import ctypes

    # struct sock_filter: code, jump if true, jump if false, operand. Offset 13 of a TCP header holds the flags.
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (0x30, 0, 0, 13),  # load the byte at 13
            (0x54, 0, 0, 0x12),  # keep SYN and ACK of it
            (0x15, 0, 1, 0x02),  # SYN alone?
            (0x06, 0, 0, 0),  # then drop
            (0x06, 0, 0, 0xFFFFFFFF),  # else take the packet
        )
    )
    held = ctypes.create_string_buffer(program, len(program))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program) // 8, ctypes.addressof(held)))


def _bound(family: int, address: str, port: int, *, own: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if own:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address != "::"))
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def _reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is in use by another program. Stop that one, or choose another port with --port "
            f"(0 takes a free one)."
        )
    if error.errno == errno.EACCES:
        return f"port {port} on {host} may not be opened by this user. Choose one above 1023 with --port."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine. Choose another with --host (0.0.0.0 for all)."
    return f"port {port} on {host} cannot be opened: {error.strerror}"


def open_unix(path: str, mode: int) -> socket.socket:
    """Listen on a unix socket, in place of a stale file that a dead process left. Raises CannotStart."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise CannotStart(f"{path!r} exists and is not a socket; it is left alone.", TAKEN)
            if _answers(path):
                raise CannotStart(f"the unix socket {path!r} is in use by another program.", TAKEN)
            os.unlink(path)
        before = os.umask(0o777 & ~mode)
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise CannotStart(f"the unix socket {path!r} cannot be opened: {error.strerror}", TAKEN) from error
    except CannotStart:
        sock.close()
        raise
    return sock


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        return True
