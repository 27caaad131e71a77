"""The journal of one worker: entries are appended to a buffer, and flushed to its segment in one write.

When the disk is full, or cannot be written to for another reason: bodies stop first, then entries go to a reserve that
was allocated beforehand, and while less than half of that is left `full` is True: no new calls are to be admitted, and
those under way still have room for their records. Each second it is tried whether there is room again.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from portico.errors import JournalFull
from portico.journal.bodies import Compress, compressor, render_bodies
from portico.journal.entries import Event, Kind, encode
from portico.journal.frames import FRAME, HEADER, Header, parse_head, render_frame, render_header
from portico.journal.segments import name_of, reserve_of, segments
from portico.journal.syncing import Deliver, Done, Syncing
from portico.record import Record

SEGMENT_BYTES: Final = 64 * 1024 * 1024
SEGMENT_SECONDS: Final = 3600.0
BODY_LIMIT: Final = 1024 * 1024
RESERVE_BYTES: Final = 4 * 1024 * 1024
"""Room for some 6,000 records; half of it, for those of the calls that are under way when it comes to that."""
SCARCE_BYTES: Final = 64 * 1024 * 1024
"""With less than this free on the disk no bodies are kept."""
HELD_BYTES: Final = 32 * 1024 * 1024
"""Entries for which there is no room at all are held in memory, up to this."""
LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the room that there is."""
ENDLESS: Final = 1 << 62
AT_ONCE: Final = min(os.sysconf("SC_IOV_MAX"), 1024)

log = logging.getLogger("portico.journal")


def boot_id() -> str:
    """Return what names this life of the machine; empty where the system has no word for it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


class Journal:
    """Writes the segments of one owner. Used from one thread; times are in seconds of `clock`.

    `fsync` is `none` (what is flushed survives this process, not the machine) or `group` (what `synced` has said is on
    the disk survives power loss). `deliver` brings what the syncing thread has to say to the thread of the journal.
    """

    def __init__(
        self,
        directory: str,
        owner: str,
        *,
        fsync: Literal["none", "group"] = "none",
        deliver: Deliver | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        segment_seconds: float = SEGMENT_SECONDS,
        body_limit: int = BODY_LIMIT,
        reserve_bytes: int = RESERVE_BYTES,
        scarce_bytes: int = SCARCE_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        os.makedirs(directory, mode=0o700, exist_ok=True)  # noqa: PTH103
        self._directory = directory
        self._owner = owner
        self._segment_bytes = segment_bytes
        self._segment_seconds = segment_seconds
        self._body_limit = body_limit
        self._reserve_bytes = reserve_bytes
        self._scarce_bytes = scarce_bytes
        self._clock = clock
        self._marker = os.urandom(4)
        self._seed = int.from_bytes(os.urandom(4), "big")
        self._boot_id = boot_id()
        before = segments(directory, owner)
        self._number = before[-1].number + 1 if before else 1

        self._parts: list[bytes] = []  # frames, and behind some of them their bodies
        self._size = 0
        self._compress: Compress | None = None

        self._file: int | None = None
        self._written = 0
        self._room = ENDLESS  # bytes that still go into the open segment
        self._rotate_at = 0.0
        self._in_reserve = False
        self._reserve: int | None = None
        self._bodies = True
        self._full = False
        self._told = False
        self._look_at = 0.0

        self.bodies_dropped = 0
        """Calls whose bodies were to be kept, and for which there was no room."""
        self.dropped = 0
        """Entries that were lost: there was no room on the disk, and too many of them in memory."""
        self._syncing: Syncing | None = None
        if fsync == "group":
            self._syncing = Syncing(deliver)
        if not self._make_reserve():
            self._full = True

    def __repr__(self) -> str:
        state = "full" if self._full else "in its reserve" if self._in_reserve else "open"
        return f"<Journal {self._owner} {state}, segment {self._number - 1}, {self._size} bytes waiting>"

    @property
    def full(self) -> bool:
        """Whether no more calls are to be admitted: the disk is full, and what is left is for those under way."""
        if self._full:
            self._look()
        return self._full

    @property
    def waiting(self) -> int:
        """Bytes that are not flushed yet."""
        return self._size

    def check(self) -> None:
        """Raise JournalFull where `full`."""
        if self._full and self.full:
            raise JournalFull(
                f"the disk under {self._directory!r} is full: no call is taken that could not be recorded. "
                "Make room; calls are taken again by themselves.",
                retry_after=LOOK_EVERY,
            )

    def append(self, record: Record, request: bytes | None = None, reply: bytes | None = None) -> None:
        """Take a record, and the bodies of its call where they are to be kept; `flush` writes it."""
        body = b""
        if request is not None or reply is not None:
            if self._bodies:
                body = render_bodies(request, reply, self._body_limit, self._compress or self._compressor())
            else:
                self.bodies_dropped += 1
        size = len(body)
        frame = render_frame(self._marker, self._seed, 1, encode(record), size)
        if size:
            self._parts += (frame, body)
            self._size += len(frame) + size
        else:
            self._parts.append(frame)
            self._size += len(frame)

    def _compressor(self) -> Compress:
        self._compress = compressor()
        return self._compress

    def note(self, event: Event) -> None:
        """Take an event; `flush` writes it."""
        self.append_entry(Kind.EVENT, event)

    def append_entry(self, kind: int, entry: msgspec.Struct) -> None:
        """Take an entry of any kind."""
        frame = render_frame(self._marker, self._seed, int(kind), encode(entry), 0)
        self._parts.append(frame)
        self._size += len(frame)

    def flush(self) -> bool:
        """Write what was appended; return whether all of it is written. What is not, the next flush tries again.

        False means that not even the reserve has room: what waits must not be settled yet.
        """
        size = self._size
        if not size:
            return True
        now = self._clock()
        if now >= self._look_at:
            self._look()
        if self._file is None or (not self._in_reserve and self._due(size, now)):
            self._rotate()
        file = self._file
        if file is None or size > self._room:
            return self._shed(0, None)
        parts = self._parts
        try:
            written = os.writev(file, parts) if len(parts) <= AT_ONCE else os.write(file, b"".join(parts))
        except OSError as error:
            return self._shed(0, error)
        if written != size:
            return self._shed(written, None)
        self._wrote(size)
        parts.clear()
        self._size = 0
        return True

    def synced(self, done: Done) -> None:
        """Call `done` once what was flushed so far survives power loss; at once where that was not asked for.

        It is given None, or the error because of which nobody knows what is on the disk.
        """
        if self._syncing is None:
            done(None)
        else:
            self._syncing.after(done)

    def close(self) -> bool:
        """Flush, and leave the segment; return whether everything is written."""
        whole = self.flush()
        self._leave()
        if self._syncing is not None:
            self._syncing.close()
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
            os.unlink(reserve_of(self._directory, self._owner))  # noqa: PTH108
        return whole

    # segments

    def _due(self, size: int, now: float) -> bool:
        """Say whether the open segment has had its size or its time."""
        return self._written > HEADER.size and (self._written + size > self._segment_bytes or now >= self._rotate_at)

    def _rotate(self) -> None:
        """Begin a new segment, if that can be done."""
        self._leave()
        path = os.path.join(self._directory, name_of(self._owner, self._number))  # noqa: PTH118
        file = self._begin(path)
        if file is None:
            return
        self._number += 1
        self._use(file, ENDLESS)

    def _use(self, file: int, room: int) -> None:
        self._file = file
        self._written = HEADER.size
        self._room = room
        self._rotate_at = self._clock() + self._segment_seconds
        if self._syncing is not None:
            self._syncing.write_to(os.dup(file), self._directory)

    def _begin(self, path: str, allocate: int = 0) -> int | None:
        """Make a file that begins as a segment; None where there is no room for it."""
        header = Header(self._owner, self._boot_id, self._marker, self._seed, time.time_ns() // 1_000_000)
        file = None
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            if allocate:
                _allocate(file, allocate)
            if os.write(file, render_header(header)) == HEADER.size:
                self._told = False
                return file
        except OSError as error:
            if not self._told:  # it is tried again many times a second
                log.warning("no segment of the journal can be begun: %s", error)
            self._told = True
        if file is not None:
            os.close(file)
            os.unlink(path)  # noqa: PTH108
        return None

    def _leave(self) -> None:
        """Close the open segment."""
        file, self._file = self._file, None
        if file is None:
            return
        if self._in_reserve:
            os.ftruncate(file, self._written)
            self._in_reserve = False
        os.close(file)
        if self._syncing is not None:
            self._syncing.write_to(None, self._directory)

    def _wrote(self, size: int) -> None:
        self._written += size
        if self._in_reserve:
            self._room -= size
            self._full = self._full or self._room < self._reserve_bytes // 2

    # without room

    def _shed(self, written: int, error: OSError | None) -> bool:
        """Go on where a write came short: cut what is half written, leave bodies out, find another place."""
        if self._bodies:
            log.error("the journal is short of room: %s", error or "a write was cut short")
        self._keep(written)
        if self._file is not None and not self._in_reserve:
            try:
                os.ftruncate(self._file, self._written)
            except OSError as failure:  # then the reader takes the torn frame for damage, and counts it
                log.warning("a segment of the journal cannot be cut: %s", failure)
            self._leave()
        self._bodies = False
        self._strip()
        self._look_at = self._clock() + LOOK_EVERY
        if not self._in_reserve:
            self._rotate()
            if self._file is not None and self._fill():
                return True
            if self._file is not None:
                self._leave()
            self._take_reserve()
        if self._fill():
            return True
        self._full = True
        self._hold()
        return False

    def _keep(self, written: int) -> None:
        """Count the frames that were written whole as written, and let what waits begin after them."""
        parts = self._parts
        whole = at = 0
        while at < len(parts):
            frame = parts[at]
            head = parse_head(self._marker, frame)
            assert head is not None
            size = len(frame) + head.body
            if whole + size > written:
                break
            whole += size
            at += 2 if head.body else 1
        del parts[:at]
        self._size -= whole
        self._wrote(whole)

    def _strip(self) -> None:
        """Take the bodies off what waits."""
        parts: list[bytes] = []
        at = 0
        while at < len(self._parts):
            frame = self._parts[at]
            head = parse_head(self._marker, frame)
            assert head is not None
            if head.body:
                frame = render_frame(self._marker, self._seed, head.kind, frame[FRAME.size :], 0)
                self.bodies_dropped += 1
                at += 1
            parts.append(frame)
            at += 1
        self._parts[:] = parts
        self._size = sum(map(len, parts))

    def _fill(self) -> bool:
        """Write what waits, which has no bodies, as far as there is room; return whether that was all of it."""
        if self._file is None:
            return False
        parts = self._parts
        fitting = size = 0
        for frame in parts:
            if size + len(frame) > self._room:
                break
            size += len(frame)
            fitting += 1
        try:
            os.lseek(self._file, self._written, os.SEEK_SET)
            written = os.write(self._file, b"".join(parts[:fitting])) if fitting else 0
        except OSError as error:
            log.warning("the journal cannot be written to: %s", error)
            written = 0
        self._keep(written)
        if written != size and not self._in_reserve:
            os.ftruncate(self._file, self._written)
        return not parts

    def _hold(self) -> None:
        """Let go of the oldest entries in memory when there are too many."""
        lost = 0
        while self._size > HELD_BYTES:
            self._size -= len(self._parts[lost])
            lost += 1
        if lost:
            del self._parts[:lost]
            self.dropped += lost
            log.error("%d entries of the journal are lost: there is no room on the disk", lost)

    def _make_reserve(self) -> bool:
        """Allocate the reserve."""
        if self._reserve is None:
            self._reserve = self._begin(reserve_of(self._directory, self._owner), self._reserve_bytes)
        return self._reserve is not None

    def _take_reserve(self) -> None:
        """Put the reserve to use as a segment."""
        file, self._reserve = self._reserve, None
        if file is None:
            return
        path = os.path.join(self._directory, name_of(self._owner, self._number))  # noqa: PTH118
        try:
            os.rename(reserve_of(self._directory, self._owner), path)  # noqa: PTH104
        except OSError as error:
            log.warning("the reserve of the journal cannot be put to use: %s", error)
            self._reserve = file
            return
        self._number += 1
        self._use(file, self._reserve_bytes - HEADER.size)
        self._in_reserve = True

    def _look(self) -> None:
        """See, once in a while, whether there is room again."""
        if self._clock() < self._look_at:
            return
        self._look_at = self._clock() + LOOK_EVERY
        disk = os.statvfs(self._directory)
        free = disk.f_bavail * disk.f_frsize
        if self._full or self._in_reserve:
            if free < self._reserve_bytes or not self._make_reserve():
                return
            self._leave()
            self._rotate()
            if self._file is None:
                return
            self._full = False
            log.warning("the journal has room again")
        self._bodies = free >= self._scarce_bytes


def _allocate(file: int, size: int) -> None:
    """Make sure of the room of a file."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
        return
    piece = bytes(65536)  # macOS
    for at in range(0, size, len(piece)):
        os.pwrite(file, piece, at)
