"""Uploads: forms and files, in memory and beyond it."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway_in_loop import provider
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]

BOUNDARY = "form-boundary"


def form(model: str, sound: bytes, *, model_last: bool = False) -> bytes:
    """A transcription's form."""
    field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{model}\r\n'.encode()
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'.encode()
    file = head + sound + b"\r\n"
    return (file + field if model_last else field + file) + f"--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize("model_last", [False, True])
@pytest.mark.parametrize("size", [0, 10, 70_000, 1_500_000])
async def test_a_form_reaches_the_provider_with_nothing_but_the_model_changed(
    portico: Portico, mock: MockProvider, size: int, model_last: bool
) -> None:
    sound = bytes(range(256)) * (size // 256) + b"\r\n--not-the-boundary"
    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    limits = {"memory_body": 100_000}
    async with portico({"providers": {"openai": provider(mock)}, "server": {"limits": limits}}) as gateway:
        sent = form("openai/whisper-1", sound, model_last=model_last)
        status, _, reply = await gateway.call("/v1/audio/transcriptions", sent, headers=headers)
        (record,) = gateway.records()
        assert gateway.server.budget.used == 0
    assert status == 200, reply
    assert mock.ledger.last.body == form("whisper-1", sound, model_last=model_last)[: len(mock.ledger.last.body)]
    assert mock.ledger.last.body_bytes == len(form("whisper-1", sound, model_last=model_last))
    assert record["model"] == "openai/whisper-1"


async def test_a_spooled_form_is_sent_again_to_the_next_target(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script("status=503")
    config = {
        "providers": {"one": provider(mock), "two": provider(other)},
        "models": {"ears": ["one/whisper-1", "two/gpt-4o-transcribe"]},
        "server": {"limits": {"memory_body": 1000}},
    }
    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    async with portico(config) as gateway:
        status, reply_headers, _ = await gateway.call(
            "/v1/audio/transcriptions", form("ears", b"x" * 300_000), headers=headers
        )
    assert (status, reply_headers["x-portico-attempts"]) == (200, "2")
    assert other.ledger.last.body_bytes == len(form("gpt-4o-transcribe", b"x" * 300_000))


async def test_a_form_without_a_model_or_an_end_is_refused(portico: Portico, mock: MockProvider) -> None:
    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    whole = form("openai/whisper-1", b"x" * 5000)
    limits = {"memory_body": 1000}
    async with portico({"providers": {"openai": provider(mock)}, "server": {"limits": limits}}) as gateway:
        for body in (whole[:-30], whole.replace(b'"model"', b'"other"'), b"", b"x" * 5000):
            status, _, _ = await gateway.call("/v1/audio/transcriptions", body, headers=headers)
            assert status == 400
        assert gateway.server.budget.used == 0
    assert len(mock.ledger) == 0


async def test_a_large_file_passes_through_from_its_spool(portico: Portico, mock: MockProvider) -> None:
    limits = {"memory_body": 1000, "body": 10_000}
    headers = {"content-type": "application/octet-stream"}
    async with portico({"providers": {"openai": provider(mock)}, "server": {"limits": limits}}) as gateway:
        await gateway.call("/openai/v1/unknown/upload", bytes(range(256)) * 1000, headers=headers)
        assert gateway.server.budget.used == 0
    assert mock.ledger.last.body_bytes == 256_000
