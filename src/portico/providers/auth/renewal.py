"""Something that expires and is renewed ahead of time, once, however many calls wait for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from portico.errors import CredentialError
from portico.providers.auth.scheme import Fetch

T = TypeVar("T")

AHEAD = 300.0
"""Seconds before its end at which a token is renewed (a fifth of its life, when that is shorter)."""
MARGIN = 10.0
"""Seconds before its end at which a token is no longer used: clocks differ and requests take time to arrive."""
PAUSE = 30.0
"""Seconds between two tries to renew what is still valid."""


class Renewal(Generic[T]):
    """A value with an end, obtained by `obtain(fetch, now) → (value, end in epoch seconds or None)`.

    While it is valid but near its end, one call renews it and the others go on with what is there; a renewal
    that fails then is kept in `failure` and tried again after a pause. Without a valid value every call waits
    for the one that obtains it, and all of them get its error.
    """

    def __init__(self, obtain: Callable[[Fetch, float], Awaitable[tuple[T, float | None]]]) -> None:
        self._obtain = obtain
        self._value: T | None = None
        self._end: float | None = None
        self._renew_at = 0.0
        self._lock = asyncio.Lock()
        self._tries = 0
        self.failure: CredentialError | None = None

    @property
    def value(self) -> T:
        """What was obtained last. CredentialError when nothing was."""
        if self._value is None:
            raise CredentialError("The credential was used before it was obtained.")
        return self._value

    def _valid(self, now: float) -> bool:
        return self._value is not None and (self._end is None or now < self._end - MARGIN)

    def ready(self, now: float) -> bool:
        """Tell whether the value may be used at `now`, and nobody has to renew it first."""
        if self._value is None:
            return False
        if self._end is None or now < self._renew_at:
            return True
        return now < self._end - MARGIN and self._lock.locked()

    async def prepare(self, fetch: Fetch, now: float) -> None:
        """Obtain or renew the value, unless somebody else just did. CredentialError when that fails."""
        tries = self._tries
        async with self._lock:
            if self._tries != tries:  # somebody finished while this call waited: share the outcome
                if self._valid(now):
                    return
                if self.failure is not None:
                    raise CredentialError(self.failure.message)
            elif self._value is not None and (self._end is None or now < self._renew_at):
                return
            try:
                value, end = await self._obtain(fetch, now)
            except CredentialError as error:
                self._tries += 1
                self.failure = error
                if not self._valid(now):
                    raise
                self._renew_at = now + PAUSE
                return
            self._tries += 1
            self.failure = None
            self._value, self._end = value, end
            if end is not None:
                self._renew_at = end - min(AHEAD, (end - now) / 5)
