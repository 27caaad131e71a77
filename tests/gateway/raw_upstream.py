"""An upstream that answers with the very bytes it is told, and sees when it is left."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

PATIENCE = 20

Answer = Callable[["Caught", asyncio.StreamWriter], Any]


class Caught:
    """A request as it arrived."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.head = head
        self.body = body

    @property
    def line(self) -> str:
        return self.head.partition(b"\r\n")[0].decode("latin-1")


class RawUpstream:
    """Answers each request by `answer`: bytes, or a coroutine that writes them. `open` counts its connections."""

    def __init__(self, answer: bytes | Answer) -> None:
        self.answer = answer
        self.caught: list[Caught] = []
        self.open = 0
        self.port = 0
        self._serving: set[asyncio.Task[Any]] = set()

    def provider(self, like: str = "openai", **more: Any) -> dict[str, Any]:
        """Return the configuration of a provider that is this."""
        base = {"openai": "/v1", "anthropic": "/v1"}[like]
        url = f"http://127.0.0.1:{self.port}{base}"
        return {"like": like, "base_url": url, "api_key": "sk-upstream-0123456789", **more}

    async def left(self) -> None:
        """Wait until nobody is connected."""
        async with asyncio.timeout(PATIENCE):
            while self.open:
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """End what still answers."""
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                caught = Caught(head, await reader.readexactly(length))
                self.caught.append(caught)
                if isinstance(self.answer, bytes):
                    writer.write(self.answer)
                    await writer.drain()
                else:
                    await self.answer(caught, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def upstream(answer: bytes | Answer) -> AsyncIterator[RawUpstream]:
    raw = RawUpstream(answer)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()
        await raw.stop()


def reply(status: int, body: bytes = b"", *headers: str, length: bool = True) -> bytes:
    """Write a whole reply."""
    lines = [f"HTTP/1.1 {status} Whatever", *headers]
    if length:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunk(data: bytes) -> bytes:
    """Write one chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
