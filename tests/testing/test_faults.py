"""Each fault, seen on a raw socket, and what the ledger has of it."""

import asyncio
import gzip
import json
import zlib

import pytest

from portico.testing import FakeClock, MockProvider, tokens


def request(model: str, *, stream: bool = False, path: str = "/v1/chat/completions", headers: str = "") -> bytes:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": stream})
    head = f"POST {path} HTTP/1.1\r\nhost: mock\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return (head + body).encode()


async def sent(mock: MockProvider, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(mock.host, mock.port)
    writer.write(data)
    return reader, writer


async def everything(mock: MockProvider, data: bytes) -> bytes:
    """Send a request and return all bytes up to the end of the connection."""
    reader, writer = await sent(mock, data)
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def head_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), headers


async def chunk_of(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readline(), 16)
    data = await reader.readexactly(size)
    assert await reader.readexactly(2) == b"\r\n"
    return data


async def chunks_of(reader: asyncio.StreamReader) -> list[bytes]:
    found = []
    while chunk := await chunk_of(reader):
        found.append(chunk)
    return found


async def reply_to(mock: MockProvider, data: bytes) -> tuple[int, dict[str, str], list[bytes]]:
    reader, writer = await sent(mock, data)
    status, headers = await head_of(reader)
    if "content-length" in headers:
        chunks = [await reader.readexactly(int(headers["content-length"]))]
    else:
        chunks = await chunks_of(reader)
    writer.close()
    await writer.wait_closed()
    return status, headers, chunks


async def test_cut_before_the_head(mock):
    assert await everything(mock, request("any?fault=cut-before-head")) == b""
    entry = mock.ledger.last
    assert (entry.outcome, entry.usage.total, entry.bytes_out, entry.fault) == ("cut", 0, 0, "cut-before-head")


@pytest.mark.parametrize("stream", [False, True])
async def test_cut_after_the_head(mock, stream):
    got = await everything(mock, request("any?fault=cut-after-head", stream=stream))
    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.endswith(b"\r\n\r\n")
    entry = mock.ledger.last
    assert (entry.outcome, entry.usage.input, entry.usage.output) == ("cut", entry.whole.input, 0)


async def test_cut_in_mid_stream_falls_between_two_chunks(mock):
    reader, writer = await sent(mock, request("any?tokens=20&fault=cut-mid-stream&at=6", stream=True))
    await head_of(reader)
    got = [await chunk_of(reader) for _ in range(6)]
    assert await reader.read() == b""
    said = "".join(json.loads(chunk[6:])["choices"][0]["delta"]["content"] for chunk in got)
    entry = mock.ledger.last
    assert (entry.outcome, entry.chunks, entry.bytes_out) == ("cut", 6, sum(map(len, got)))
    assert tokens(said) == entry.usage.output == 5
    assert entry.whole.output == 20
    writer.close()
    await writer.wait_closed()


async def test_cut_in_mid_chunk_leaves_a_chunk_unfinished(mock):
    reader, writer = await sent(mock, request("any?tokens=20&fault=cut-mid-chunk&at=2", stream=True))
    await head_of(reader)
    for _ in range(2):
        await chunk_of(reader)
    declared = int(await reader.readline(), 16)
    assert 0 < len(await reader.read()) < declared
    assert mock.ledger.last.usage.output == 1
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("fault", ["cut-mid-chunk", "cut-mid-stream"])
async def test_a_whole_reply_is_cut_in_the_middle_of_its_body(mock, fault):
    reader, writer = await sent(mock, request(f"any?fault={fault}"))
    _, headers = await head_of(reader)
    rest = await reader.read()
    assert 0 < len(rest) < int(headers["content-length"])
    entry = mock.ledger.last
    assert (entry.outcome, entry.usage.output, entry.bytes_out) == ("cut", 0, len(rest))
    writer.close()
    await writer.wait_closed()


async def test_a_reset_is_seen_as_one(mock):
    with pytest.raises(ConnectionResetError):
        await everything(mock, request("any?fault=cut-after-head&reset=1", stream=True))


async def test_a_bad_chunk_header(mock):
    got = await everything(mock, request("any?fault=bad-chunk&at=1", stream=True))
    assert got.endswith(b"\r\nzz\r\n")
    got = await everything(mock, request("any?fault=bad-chunk"))
    assert b"transfer-encoding: chunked" in got
    assert got.endswith(b"\r\nzz\r\n")


async def test_a_stall_holds_until_its_time(mock):
    clock = mock.clock = FakeClock()
    reader, writer = await sent(mock, request("any?tokens=9&fault=stall&at=2&hold=60", stream=True))
    await head_of(reader)
    for _ in range(2):
        await chunk_of(reader)
    await clock.asleep()
    assert mock.ledger.last.outcome == "open"
    await clock.advance(60)
    assert (await chunks_of(reader))[-1] == b"data: [DONE]\n\n"
    assert mock.ledger.last.outcome == "served"
    assert mock.ledger.last.usage == mock.ledger.last.whole
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_that_leaves_a_stall_is_gone_with_what_it_got(mock, stream):
    reader, writer = await sent(mock, request("any?tokens=9&fault=stall&at=4", stream=stream))
    await head_of(reader)
    if stream:
        for _ in range(4):
            await chunk_of(reader)
    writer.close()
    await writer.wait_closed()
    await mock.ledger.idle()
    entry = mock.ledger.last
    assert (entry.outcome, entry.usage.output) == ("gone", 3 if stream else 0)


async def test_ending_early_is_good_http_and_no_good_stream(mock):
    _, _, chunks = await reply_to(mock, request("any?tokens=9&fault=end-early&at=4", stream=True))
    assert len(chunks) == 4
    assert b"[DONE]" not in b"".join(chunks)
    assert (mock.ledger.last.outcome, mock.ledger.last.usage.output) == ("cut", 3)
    status, _, [body] = await reply_to(mock, request("any?fault=end-early"))
    assert status == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(body)


async def test_broken_json_whole_and_streamed(mock):
    _, _, [body] = await reply_to(mock, request("any?fault=broken-json"))
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(body)
    _, _, chunks = await reply_to(mock, request("any?tokens=9&fault=broken-json&at=3", stream=True))
    broken = [chunk for chunk in chunks if b"{{" in chunk]
    assert broken == [chunks[3]]
    assert chunks[-1] == b"data: [DONE]\n\n"


async def test_a_good_status_with_something_else(mock):
    status, headers, [body] = await reply_to(mock, request("any?fault=wrong-type", stream=True))
    assert (status, headers["content-type"][:9], body[:5]) == (200, "text/html", b"<!doc")
    status, headers, [body] = await reply_to(mock, request("any?fault=error-in-200", stream=True))
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body)["error"]["type"] == "server_error"
    status, headers, [body] = await reply_to(mock, request("any?fault=empty"))
    assert (status, body) == (200, b"")
    assert [(entry.outcome, entry.usage.total) for entry in mock.ledger.entries] == [("refused", 0)] * 3


async def test_gzip_whole_and_streamed(mock):
    _, plain, [body] = await reply_to(mock, request("any"))
    _, headers, [packed] = await reply_to(mock, request("any?gzip=1"))
    assert (plain.get("content-encoding"), headers["content-encoding"]) == (None, "gzip")
    assert gzip.decompress(packed) == body
    _, _, chunks = await reply_to(mock, request("any", stream=True))
    _, headers, zipped = await reply_to(mock, request("any?gzip=1", stream=True))
    unpack = zlib.decompressobj(wbits=31)
    assert [unpack.decompress(chunk) for chunk in zipped] == chunks
    assert unpack.eof


@pytest.mark.parametrize("stream", [False, True])
async def test_close_delimited_replies_have_neither_length_nor_chunks(mock, stream):
    _, _, chunks = await reply_to(mock, request("any", stream=stream))
    got = await everything(mock, request("any?close=1", stream=stream))
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"content-length" not in head
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert body == b"".join(chunks)


@pytest.mark.parametrize("size", [1, 7, 64])
async def test_split_writes_chunks_of_so_many_bytes(mock, size):
    _, _, chunks = await reply_to(mock, request("any", stream=True))
    _, _, split = await reply_to(mock, request(f"any?split={size}", stream=True))
    assert b"".join(split) == b"".join(chunks)
    assert max(map(len, split)) == size
    assert mock.ledger.last.chunks == len(split)


async def test_latency_and_pace_are_kept_to_the_clock(mock):
    clock = mock.clock = FakeClock()
    reader, writer = await sent(mock, request("any?tokens=3&latency=2&pace=0.5", stream=True))
    await clock.asleep()
    await clock.advance(2)
    await head_of(reader)
    got = [await chunk_of(reader)]
    for _ in range(5):
        await clock.asleep()
        await clock.advance(0.5)
        got.append(await chunk_of(reader))
    assert await chunk_of(reader) == b""
    assert got[-1] == b"data: [DONE]\n\n"
    entry = mock.ledger.last
    assert (entry.begun, entry.ended, entry.outcome) == (0, 4.5, "served")
    writer.close()
    await writer.wait_closed()


async def test_a_caller_that_leaves_a_paced_stream_is_gone_with_what_it_got(mock):
    clock = mock.clock = FakeClock()
    reader, writer = await sent(mock, request("any?tokens=30&pace=1", stream=True))
    await head_of(reader)
    await chunk_of(reader)
    for _ in range(4):
        await clock.asleep()
        await clock.advance(1)
        await chunk_of(reader)
    writer.close()
    await writer.wait_closed()
    await mock.ledger.idle()
    assert (mock.ledger.last.outcome, mock.ledger.last.usage.output) == ("gone", 4)
    assert clock.sleepers == 0


async def test_a_caller_that_reads_slowly_gets_all_of_a_long_stream(mock):
    reader, writer = await sent(mock, request("any?tokens=60000", stream=True))
    await head_of(reader)
    said = 0
    while chunk := await chunk_of(reader):
        if chunk != b"data: [DONE]\n\n":
            said += tokens(json.loads(chunk[6:])["choices"][0]["delta"].get("content") or "")
    assert said == mock.ledger.last.usage.output == 60000
    writer.close()
    await writer.wait_closed()


async def test_rate_limits_refuse_until_the_minute_is_over(mock):
    clock = mock.clock = FakeClock()
    model = request("any?rpm=2")
    statuses = [(await reply_to(mock, model))[0] for _ in range(3)]
    assert statuses == [200, 200, 429]
    clock_before = clock.now()
    status, headers, [body] = await reply_to(mock, model)
    assert (status, headers["retry-after"], headers["x-ratelimit-remaining-requests"]) == (429, "60", "0")
    assert json.loads(body)["error"]["code"] == "rate_limit_exceeded"
    assert clock.now() == clock_before
    assert (await reply_to(mock, request("any?rpm=2", headers="authorization: Bearer other\r\n")))[0] == 200
    await clock.advance(60)
    assert (await reply_to(mock, model))[0] == 200
    assert mock.ledger.totals.refused == 2


async def test_keys_that_are_not_known_are_refused_in_each_dialects_shape():
    paths = {
        "/v1/chat/completions": (401, "invalid_api_key"),
        "/v1/messages": (401, "authentication_error"),
        "/v1beta/models/m:generateContent": (400, "API_KEY_INVALID"),
        "/model/m/converse": (403, "Incorrect API key"),
        "/v2/chat": (401, "Incorrect API key"),
    }
    async with MockProvider(keys={"good"}) as mock:
        for path, (wanted, word) in paths.items():
            for headers in ("", "authorization: Bearer bad\r\n", "x-api-key: bad\r\n"):
                status, _, [body] = await reply_to(mock, request("m", path=path, headers=headers))
                assert (status, word in body.decode()) == (wanted, True)
        for headers in ("authorization: Bearer good\r\n", "x-api-key: good\r\n", "api-key: good\r\n"):
            assert (await reply_to(mock, request("m", headers=headers)))[0] == 200
        assert (await reply_to(mock, request("m", path="/v1/chat/completions?key=good")))[0] == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", b"{"),
        ("/v1/chat/completions", b'{"messages": 3}'),
        ("/v1/chat/completions", b'{"messages": [], "n": 5000}'),
        ("/v1/chat/completions", b'{"messages": [], "max_tokens": -1}'),
        ("/v1/chat/completions", b'{"messages": [], "tools": [3]}'),
        ("/v1/chat/completions", b"\xff\xfe"),
        ("/v1/responses", b'{"input": [3]}'),
        ("/v1/embeddings", b'{"input": {}}'),
        ("/v1/messages", b'{"messages": [{"role": "user"}]}'),
        ("/v1beta/models/m:generateContent", b'{"contents": []}'),
        ("/v1beta/models/m:batchEmbedContents", b'{"requests": [3]}'),
        ("/model/m/converse", b'{"messages": [{"role": "user", "content": "x"}]}'),
        ("/model/m/invoke", b"{}"),
        ("/v2/chat", b'{"messages": []}'),
        ("/v2/embed", b"{}"),
        ("/v1/audio/transcriptions", b"{}"),
    ],
)
async def test_malformed_requests_are_the_callers_mistake(mock, path, body):
    head = b"POST %b HTTP/1.1\r\nhost: mock\r\ncontent-length: %d\r\n\r\n" % (path.encode(), len(body))
    status, headers, [answer] = await reply_to(mock, head + body)
    assert status == 400
    assert headers["content-type"] == "application/json"
    assert json.loads(answer)
    assert mock.ledger.last.outcome == "refused"


async def test_an_unknown_path_is_not_found(mock):
    assert (await reply_to(mock, request("m", path="/v1/nothing")))[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions",
        "/openai/v1/chat/completions",
        "/openai/deployments/d/chat/completions",
        "/a/b/c/chat/completions/",
    ],
)
async def test_any_prefix_will_do(mock, path):
    assert (await reply_to(mock, request("m", path=path)))[0] == 200
    assert mock.ledger.last.operation == "chat"


async def test_controls_come_from_suffix_prompt_headers_and_script_and_the_later_wins(mock):
    async def status(model: str, prompt: str = "Hello", headers: str = "") -> int:
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": prompt}]})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: m\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
        return (await reply_to(mock, (head + body).encode()))[0]

    assert await status("any?status=500") == 500
    assert await status("any;status=500") == 500
    assert await status("any?status=500", "do [mock status=501] it") == 501
    assert await status("any?status=500", "do [mock status=501] it", "x-mock-status: 502\r\n") == 502
    assert await status("any?status=500", headers="x-mock: status=504\r\n") == 504
    mock.script("status=503")
    assert await status("any?status=500", headers="x-mock-status: 502\r\n") == 503
    assert await status("any", headers="x-mock-nonsense: 1\r\n") == 400
    assert mock.ledger.entries[3].controls == "status=502"


async def test_errors_wait_and_are_cut_like_anything_else(mock):
    assert await everything(mock, request("any?status=500&fault=cut-before-head")) == b""
    assert mock.ledger.last.outcome == "cut"


async def test_faults_of_other_dialects_streams(mock):
    _, _, chunks = await reply_to(
        mock, request("any?fault=error-mid-stream&at=2&status=503", stream=True, path="/v1/responses")
    )
    assert len(chunks) == 3
    event = json.loads(chunks[-1].split(b"data: ")[1])
    assert (event["type"], event["sequence_number"]) == ("error", 2)
    body = b'{"contents": [{"parts": [{"text": "Hello"}]}]}'
    head = "POST /v1beta/models/m%3Ffault=error-mid-stream&at=2:streamGenerateContent HTTP/1.1\r\nhost: m\r\n"
    _, headers, chunks = await reply_to(mock, f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    assert headers["content-type"] == "application/json"
    parsed = json.loads(b"".join(chunks))
    assert [next(iter(each)) for each in parsed] == ["candidates", "candidates", "error"]
