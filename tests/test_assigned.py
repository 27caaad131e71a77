"""Structs whose fields are stored like slots."""

import dis

import msgspec
import pytest

from portico.assigned import assigned
from portico.call import Call
from portico.record import AttemptRecord, Record
from portico.upstream.outgoing import Outgoing
from portico.wire.exchange import Exchange


@assigned
class Pair(msgspec.Struct):
    """Two fields."""

    left: int = 0
    right: list[int] = []


def test_fields_are_stored_the_short_way() -> None:
    def store(pair: Pair) -> None:
        pair.left = 1

    pair = Pair()
    for _ in range(100):
        store(pair)

    assert pair.left == 1
    assert "STORE_ATTR_SLOT" in {step.opname for step in dis.get_instructions(store, adaptive=True)}


def test_what_is_no_field_cannot_be_stored() -> None:
    with pytest.raises(AttributeError):
        Pair().middle = 1  # type: ignore[attr-defined]


def test_fields_are_written_and_read_as_before() -> None:
    pair = Pair(1, [2])
    pair.right = [3]

    assert msgspec.json.encode(pair) == b'{"left":1,"right":[3]}'
    assert msgspec.json.decode(b'{"left":1,"right":[3]}', type=Pair) == pair


@pytest.mark.parametrize("struct", [Call, Record, AttemptRecord, Outgoing, Exchange])
def test_what_every_call_assigns_to_is_stored_so(struct: type[msgspec.Struct]) -> None:
    assert struct.__setattr__ is object.__setattr__
