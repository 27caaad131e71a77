"""The keys for one provider: used in turn, and one that failed rests while there are others."""

from collections.abc import Callable, Sequence
from typing import Final

from portico.providers.auth.scheme import Auth

RESTS: Final = {401: 300.0, 402: 300.0, 403: 60.0, 429: 5.0}
"""Seconds that a key rests after the provider refused it with this status, unless Retry-After says otherwise."""
LONGEST_REST: Final = 3600.0
PROBATION: Final = 5.0
"""Seconds in which a key that has rested is used by one call alone, until that is served."""


class Credential:
    """One key. `id` names it in records; it never shows the key.

    `in_flight` counts its attempts under way, `refusals` how often it was refused one after another.
    """

    __slots__ = ("auth", "id", "in_flight", "refusals", "rests_until")

    def __init__(self, auth: Auth) -> None:
        self.id = auth.id
        self.auth = auth
        self.rests_until = 0.0
        self.refusals = 0
        self.in_flight = 0

    def __repr__(self) -> str:
        return f"<Credential {self.id}>"


class Keyring:
    """The credentials of one provider, in the order of the configuration; `only` is the one that has no other.

    `wakes` is when the first of them can be used again where all rest, and 0 where none of them does.
    """

    def __init__(self, credentials: Sequence[Credential]) -> None:
        assert credentials, "a provider without a credential has the one that adds nothing"
        self.credentials = tuple(credentials)
        self.only = credentials[0] if len(credentials) == 1 else None
        self.wakes = 0.0
        self.tell: Callable[[str, float], None] | None = None
        self._next = 0

    def __repr__(self) -> str:
        return f"<Keyring {[credential.id for credential in self.credentials]}>"

    def pick(self, now: float, tried: Sequence[Credential] = (), turn: int | None = None) -> Credential | None:
        """Return the key whose turn it is: awake and not tried yet; else the one not tried that wakes first.

        With `turn`, any number, it is the turn of the one that this always gives: prompts are cached for one account.
        """
        credentials = self.credentials
        if len(credentials) == 1:
            return None if tried else credentials[0]
        count = len(credentials)
        sleeping: Credential | None = None
        first = self._next if turn is None else turn % count
        for step in range(count):
            candidate = credentials[(first + step) % count]
            if candidate in tried:
                continue
            if candidate.rests_until <= now:
                if turn is None:
                    self._next = (first + step + 1) % count
                if candidate.refusals:
                    candidate.rests_until = now + PROBATION
                return candidate
            if sleeping is None or candidate.rests_until < sleeping.rests_until:
                sleeping = candidate
        return sleeping

    def refused(self, credential: Credential, status: int, retry_after: float | None, now: float) -> bool:
        """Let a key rest that the provider refused with this status; return whether another key may do better.

        It rests longer each time, up to an hour, unless the provider says how long.
        """
        rest = RESTS.get(status)
        if rest is None:
            return False
        if retry_after is not None:
            rest = min(max(retry_after, 1.0), LONGEST_REST)
        elif credential.refusals:
            rest = min(rest * 2.0 ** min(credential.refusals, 10), LONGEST_REST)
        credential.refusals += 1
        credential.rests_until = max(credential.rests_until, now + rest)
        self.wakes = min(each.rests_until for each in self.credentials)
        if self.tell is not None:
            self.tell(credential.id, credential.rests_until)
        return len(self.credentials) > 1

    def served(self, credential: Credential) -> None:
        """Note that a key that was refused before is taken again."""
        credential.refusals = 0
        credential.rests_until = 0.0
        self.wakes = 0.0
        if self.tell is not None:
            self.tell(credential.id, 0.0)

    def heard(self, credential: Credential, until: float) -> None:
        """Take over what another worker found out of a key: that it rests, or no longer."""
        if until:
            credential.rests_until = max(credential.rests_until, until)
            credential.refusals = max(credential.refusals, 1)
        elif credential.refusals:
            credential.refusals, credential.rests_until = 0, 0.0
        self.wakes = min(each.rests_until for each in self.credentials)
