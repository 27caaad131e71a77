"""What a record becomes: a row of `calls`, the values that it is found and charted by, and what it adds to sums."""

from struct import Struct
from typing import Any, NamedTuple
from zlib import crc32

from portico.record import Record
from portico.store.dimensions import KINDS, Name, clean
from portico.store.histogram import slot_of
from portico.store.tables import PARTS, SLOTS, SUMS, TIMES, TOKENS
from portico.types import Usage

COLUMNS = (
    "seq",
    "id",
    "org",
    "team",
    "user",
    "key",
    "customer",
    "model",
    "target",
    "provider",
    "operation",
    "arm",
    "session",
    "status",
    "status_class",
    "stream",
    "end",
    "basis",
    "pricing",
    "error",
    "cost_nano_usd",
    "input_tokens",
    "output_tokens",
    "total_us",
    "segment",
    "place",
    "body",
    "record",
)

SINGLE = tuple(KINDS[each] for each in (
    "org", "team", "user", "key", "customer", "model", "target", "provider", "operation", "status", "arm"
))  # fmt: skip
"""The dimensions of which a call has one value at most, in the order in which they stand everywhere here."""
_ORG, _TEAM, _USER, _KEY, _CUSTOMER, _MODEL, _TARGET, _PROVIDER, _OPERATION, _STATUS, _ARM = SINGLE
_TAG = KINDS["tag"]

MOST = 1 << 53
"""No count or time is larger: what somebody says beyond it is wrong, and would break sums."""

SEQ_BITS = 20
LANE = 64
_PACK_SUMS = Struct(f"<{len(SUMS)}Q").pack
_PACK_PARTS = Struct(f"<{len(PARTS)}Q").pack
_IN_TIME = tuple(1 << LANE * (len(SUMS) + slot) for slot in range(SLOTS))
_IN_FIRST = tuple(1 << LANE * (len(SUMS) + len(TIMES) + slot) for slot in range(SLOTS))
_NO_TOKENS = (0,) * len(TOKENS)


class Facts(NamedTuple):
    """A record, told apart and measured.

    `single` are the names of `SINGLE`, None where the call has none. `whole` has all measures of `rollups`, `parts`
    those of `breakdowns`, each as one integer with a measure in every 64 bits: sums of them are sums of all measures
    at once, and the fastest that Python can do.
    """

    record: Record
    single: tuple[Name | None, ...]
    tags: tuple[Name, ...]
    minute: int
    whole: int
    parts: int
    tokens_in: int
    tokens_out: int


def seq_of(time_ms: int, id_: str) -> int:
    """Return where a call stands among all: by time, and in a millisecond by chance."""
    return time_ms << SEQ_BITS | crc32(id_.encode()) & (1 << SEQ_BITS) - 1


def first_seq(time_ms: int) -> int:
    """Return the lowest `seq` of calls that came at this time or later."""
    return time_ms << SEQ_BITS


def time_of(seq: int) -> int:
    """Return when the call with this `seq` came, in milliseconds."""
    return seq >> SEQ_BITS


def supersedes(new: Record, old: Record) -> bool:
    """Say whether a record takes the place of another of the same call: what is known, that of what was assumed."""
    return old.basis == "assumed" and new.basis != "assumed"


def facts(record: Record) -> Facts:
    """Tell apart and measure a record."""
    target = record.target
    status = record.status
    # in the order of SINGLE
    single = (
        (_ORG, clean(record.org)) if record.org else None,
        (_TEAM, clean(record.team)) if record.team else None,
        (_USER, clean(record.user)) if record.user else None,
        (_KEY, clean(record.key)) if record.key else None,
        (_CUSTOMER, clean(record.customer)) if record.customer else None,
        (_MODEL, clean(record.model)) if record.model else None,
        (_TARGET, clean(target)) if target else None,
        (_PROVIDER, clean(target.partition("/")[0])) if target else None,
        (_OPERATION, clean(record.operation)),
        (_STATUS, f"{status // 100}xx"),
        (_ARM, clean(record.arm)) if record.arm else None,
    )
    tags = tuple(dict.fromkeys([(_TAG, clean(tag)) for tag in record.tags])) if record.tags else ()
    usage = record.usage
    tokens = _tokens(usage) if usage is not None else _NO_TOKENS
    cost = record.cost_nano_usd
    first = record.first_byte_us
    failed = status >= 400
    unpriced = cost is None and usage is not None
    call = record.job is None  # what a call has started is paid for, and no call of its own
    failed = failed and call
    sums = (
        int(call), failed, *tokens, cost or 0, unpriced, record.total_us, record.overhead_us, first or 0,
        first is not None, record.billed or 0,
    )  # fmt: skip
    if min(sums) < 0 or max(sums) > MOST:
        sums = tuple(min(max(each, 0), MOST) for each in sums)
        tokens = sums[2:12]
    tokens_in, tokens_out = sum(tokens[:6]), sum(tokens[6:])
    whole = int.from_bytes(_PACK_SUMS(*sums), "little")
    if call:
        whole += _IN_TIME[slot_of(record.total_us)]
    if first is not None:
        whole += _IN_FIRST[slot_of(first)]
    parts = int.from_bytes(_PACK_PARTS(int(call), failed, tokens_in, tokens_out, sums[12], sums[-1]), "little")
    return Facts(record, single, tags, record.time_ms // 60_000 * 60, whole, parts, tokens_in, tokens_out)


def _tokens(usage: Usage) -> tuple[int, ...]:
    """Return the buckets of `TOKENS`."""
    return (
        usage.input,
        usage.cache_read,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.input_audio,
        usage.input_image,
        usage.output,
        usage.reasoning,
        usage.output_audio,
        usage.output_image,
    )


def row(
    seq: int, told: Facts, single: tuple[int, ...], segment: int, place: int, body: int, record: bytes
) -> tuple[Any, ...]:
    """Return the row of `calls`, in the order of `COLUMNS`; `single` are the numbers of the names, 0 for none."""
    call = told.record
    org, team, user, key, customer, model, target, provider, operation, _, arm = single
    status = min(max(call.status, 0), 999)
    return (
        seq,
        call.id,
        org or None,
        team or None,
        user or None,
        key or None,
        customer or None,
        model or None,
        target or None,
        provider or None,
        operation,
        arm or None,
        clean(call.session) if call.session else None,
        status,
        status // 100,
        call.stream,
        call.end,
        call.basis,
        call.pricing,
        clean(call.error) if call.error else None,
        None if call.cost_nano_usd is None else min(max(call.cost_nano_usd, 0), MOST),
        told.tokens_in,
        told.tokens_out,
        min(max(call.total_us, 0), MOST),
        segment,
        place,
        body,
        record,
    )
