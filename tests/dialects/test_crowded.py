"""Bodies that are legal JSON and would keep a worker busy for seconds: refused before they do."""

from collections.abc import Callable

import pytest

from portico.dialects.operations import OPERATIONS
from portico.dialects.request import MEMBERS_LIMIT, peek, rewrite
from portico.errors import InvalidRequest

MANY = 200_000


def crowd(count: int) -> bytes:
    return b",".join(b'"%x":1' % number for number in range(count))


CROWDED: dict[str, tuple[str, bytes]] = {
    "members": ("chat", b'{"model":"a/b",' + crowd(MANY) + b"}"),
    "the same member": ("chat", b'{"model":"a/b"' + b',"a":1' * MANY + b"}"),
    "stream options": ("chat", b'{"model":"a/b","stream":true,"stream_options":{' + crowd(MANY) + b"}}"),
    "metadata": ("messages", b'{"model":"a/b","metadata":{' + crowd(MANY) + b"}}"),
}


@pytest.mark.parametrize("case", CROWDED)
def test_a_large_object_of_very_many_members_is_refused(case: str) -> None:
    operation, body = CROWDED[case]
    with pytest.raises(InvalidRequest, match=f"more than {MEMBERS_LIMIT}"):
        peek(OPERATIONS[operation], body, b"application/json")


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("batch_embed_contents", b'{"requests":[{' + crowd(MANY) + b"}]}"),
        ("batch_embed_contents", b'{"requests":[' + b'{"a":1},' * MANY + b"{}]}"),
        ("batch_embed_contents", b'{"requests":[' + b"{}," * 600_000 + b"{}]}"),
        ("gemini_count_tokens", b'{"generateContentRequest":{' + crowd(MANY) + b"}}"),
    ],
)
def test_what_is_looked_into_further_is_bounded_too(operation: str, body: bytes) -> None:
    known = OPERATIONS[operation]
    with pytest.raises(InvalidRequest, match="more than"):
        rewrite(known, body, peek(known, body, b"application/json"), model="m", ask_usage=False)


@pytest.mark.parametrize("model", ["b", "a/b"])
def test_a_large_body_that_writes_its_model_twice_is_refused(model: str) -> None:
    body = b'{"model":"a/b","model":"a/b","numbers":[' + b"1," * MANY + b"1]}"
    seen = peek(OPERATIONS["chat"], body, b"application/json")
    with pytest.raises(InvalidRequest, match="twice"):
        rewrite(OPERATIONS["chat"], body, seen, model=model, ask_usage=False)


LARGE: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda pad: b'{"model":"a/b","messages":[{"content":"' + pad + b'"}]}',
    "numbers": lambda pad: b'{"model":"a/b","input":[' + b",".join([b"1"] * len(pad)) + b"]}",
    "members within bounds": lambda pad: b'{"model":"a/b",' + crowd(900) + b',"x":"' + pad + b'"}',
    "spaced": lambda pad: b' {\n "model" : "a/b" , "x" : "' + pad + b'"\n} ',
}


@pytest.mark.parametrize("case", LARGE)
def test_a_large_body_is_changed_as_a_small_one(case: str) -> None:
    for pad in (b"x", b"x" * 300_000):
        body = LARGE[case](pad)
        seen = peek(OPERATIONS["chat"], body, b"application/json")
        assert seen.model == "a/b"
        assert rewrite(OPERATIONS["chat"], body, seen, model="c", ask_usage=False) == body.replace(b'"a/b"', b'"c"')
