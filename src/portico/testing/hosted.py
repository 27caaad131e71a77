"""The mock provider in a thread with a loop of its own, for synchronous tests and programs without a loop.

with HostedMock() as mock:
    client = OpenAI(base_url=f"{mock.url}/v1", api_key="any")
"""

import asyncio
import threading
from types import TracebackType
from typing import Any, Self

from portico.testing.faults import Script
from portico.testing.ledger import Ledger
from portico.testing.mock import MockProvider


class HostedMock:
    """A `MockProvider`, with the same arguments, that runs between `start` and `stop`.

    Its ledger and its script may be used from the outside.
    """

    def __init__(self, **options: Any) -> None:
        self.mock = MockProvider(**options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="portico-mock", daemon=True)

    def __repr__(self) -> str:
        return f"<HostedMock {self.mock!r}>"

    @property
    def url(self) -> str:
        """Where it is, without a path."""
        return self.mock.url

    @property
    def ledger(self) -> Ledger:
        """Its account of all calls."""
        return self.mock.ledger

    @property
    def script(self) -> Script:
        """What is to happen next."""
        return self.mock.script

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.mock.start(), self._loop).result()
        except OSError:
            self._end()
            raise

    def stop(self) -> None:
        """Cut what is open and end the thread."""
        asyncio.run_coroutine_threadsafe(self.mock.stop(), self._loop).result()
        self._end()

    def idle(self, seconds: float = 10.0) -> None:
        """Return once no call is open. Raises TimeoutError after `seconds`."""
        asyncio.run_coroutine_threadsafe(self.mock.ledger.idle(), self._loop).result(seconds)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
