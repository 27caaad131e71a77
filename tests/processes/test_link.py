"""Messages between the supervisor and its processes arrive whole, however they are cut."""

import pytest

from portico.link import HEADER, Kind, Message, MessageDecoder, render_message

MESSAGES = [
    Message(Kind.CONFIG, 7, bytes(range(256)) * 300),
    Message(Kind.BEAT),
    Message(Kind.DRAIN, 30_000),
    Message(Kind.REFUSED, 2**63, "no such provider: 'häh'".encode()),
]


@pytest.mark.parametrize("size", [1, 7, 10**9])
def test_messages_arrive_whole_at_every_chunk_size(size):
    data = b"".join(render_message(message) for message in MESSAGES)
    decoder = MessageDecoder()
    heard = [message for at in range(0, len(data), size) for message in decoder.feed(data[at : at + size])]
    assert heard == MESSAGES


def test_a_message_cut_short_is_not_given():
    decoder = MessageDecoder()
    assert decoder.feed(render_message(MESSAGES[0])[:-1]) == []


def test_an_unknown_kind_is_an_error():
    with pytest.raises(ValueError, match="99"):
        MessageDecoder().feed(HEADER.pack(0, 99, 0))
