"""Forms in parts: their fields are found, and the model's bytes alone are changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.dialects import multipart
from portico.dialects.operations import OPERATIONS
from portico.dialects.request import peek, rewrite
from portico.errors import InvalidRequest

TRANSCRIBE = OPERATIONS["audio_transcriptions"]
TYPE = b"multipart/form-data; boundary=b0"


def form(*parts: tuple[str, bytes], boundary: bytes = b"b0", preamble: bytes = b"") -> bytes:
    written = b"".join(
        b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (boundary, head.encode(), value)
        for head, value in parts
    )
    return preamble + written + b"--%b--\r\n" % boundary


def renamed(body: bytes, model: str, content_type: bytes = TYPE) -> bytes:
    return rewrite(TRANSCRIBE, body, peek(TRANSCRIBE, body, content_type), model=model, ask_usage=False)


FILE = ('name="file"; filename="a; name=model.mp3"', bytes(range(256)) + b"\r\n--b\r\n\r\nname=model\r\n--b1")


def test_the_fields_are_found_and_the_file_is_passed_over() -> None:
    body = form(FILE, ('name="model"', b"whisper-1"), ('name="stream"', b"true"), ('name="user"', "ü".encode()))
    seen = peek(TRANSCRIBE, body, TYPE)
    assert (seen.model, seen.stream, seen.user) == ("whisper-1", True, "ü")


@pytest.mark.parametrize("model", ["whisper-1", "x", "a-longer-name", "modèle"])
def test_only_the_model_s_bytes_change(model: str) -> None:
    before, after = (form(FILE, ('name="model"', name), ("name=stream", b"1")) for name in (b"old", model.encode()))
    assert renamed(before, model) == after


def test_the_same_model_is_the_same_object() -> None:
    body = form(("name=model", b"m"), FILE)
    assert renamed(body, "m") is body


@pytest.mark.parametrize("preamble", [b"", b"for old readers\r\n"])
def test_a_form_without_a_model_gets_one(preamble: bytes) -> None:
    body = form(FILE, preamble=preamble)
    assert peek(TRANSCRIBE, body, TYPE).model is None
    out = renamed(body, "m")
    assert out == form(('name="model"', b"m"), FILE, preamble=preamble)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b'multipart/form-data; boundary="b 0:=?"', b"b 0:=?"),
        (b"Multipart/Form-Data; charset=utf-8; Boundary=abc", b"abc"),
        (b'multipart/form-data;boundary="a\\"b"', b'a"b'),
    ],
)
def test_boundaries_are_read_as_they_are_written(content_type: bytes, boundary: bytes) -> None:
    assert peek(TRANSCRIBE, form(("name=model", b"m"), boundary=boundary), content_type).model == "m"


def test_part_headers_come_in_any_order_and_case() -> None:
    body = (
        b'--b0 \t\r\nContent-Type: text/plain\r\ncontent-disposition: form-data; x=1; NAME="model"\r\n\r\nm\r\n--b0--'
    )
    assert peek(TRANSCRIBE, body, TYPE).model == "m"


def test_a_part_without_headers_has_no_name() -> None:
    assert peek(TRANSCRIBE, b"--b0\r\n\r\nx\r\n--b0\r\n\r\n\r\n--b0--\r\n", TYPE).model is None


def test_an_empty_form_is_a_form() -> None:
    assert peek(TRANSCRIBE, b"--b0--\r\n", TYPE).model is None


REFUSED = {
    "no boundary in the type": (b"multipart/form-data", form(FILE), None),
    "an empty boundary": (b"multipart/form-data; boundary=", form(FILE), None),
    "another boundary": (b"multipart/form-data; boundary=zz", form(FILE), None),
    "an empty body": (TYPE, b"", None),
    "no last boundary": (TYPE, form(FILE)[:-8], None),
    "headers without an end": (TYPE, b"--b0\r\nContent-Disposition: form-data\r\n" + b"x" * 20_000, None),
    "text after a boundary": (TYPE, b"--b0xyz\r\n\r\n\r\n--b0--", None),
    "too many parts": (TYPE, form(*[("name=x", b"1")] * 300), None),
    "the model twice": (TYPE, form(("name=model", b"a"), ("name=model", b"b")), "model"),
    "a model that is not UTF-8": (TYPE, form(("name=model", b"\xff")), "model"),
    "an empty model": (TYPE, form(("name=model", b"")), "model"),
    "a model that is too long": (TYPE, form(("name=model", b"m" * 70_000)), "model"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_broken_form_is_refused(name: str) -> None:
    content_type, body, param = REFUSED[name]
    with pytest.raises(InvalidRequest) as caught:
        peek(TRANSCRIBE, body, content_type)
    assert caught.value.param == param


def test_an_edit_may_come_as_json() -> None:
    assert peek(OPERATIONS["images_edits"], b'{"model":"m","stream":true}', b"application/json").model == "m"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_form_or_refused(body: bytes) -> None:
    for raw in (body, b"--b0\r\n" + body, b"--b0\r\n\r\n" + body + b"\r\n--b0--"):
        try:
            found = multipart.read(raw, TYPE)
        except InvalidRequest:
            continue
        assert all(0 <= start <= end <= len(raw) for start, end in found.spans.values())
