"""Who is calling: the key out of a request, and its holder. Runs before the body is read."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from portico.config.wildcard import matches
from portico.errors import Forbidden, StateUnavailable, Unauthenticated
from portico.rules import Holder
from portico.secret import digest
from portico.wire.exchange import Exchange

GATEWAYS: Final = (b"x-portico-api-key", b"x-litellm-api-key", b"x-portkey-api-key")
"""Where clients of gateways put the gateway's key: what they have in Authorization besides is meant for a provider."""
HEADERS: Final = (b"x-api-key", b"api-key", b"x-goog-api-key")
"""Where SDKs put a key when not in Authorization: Anthropic, Azure, Google."""
MEMO_BOUND: Final = 10_000
INCORRECT: Final = "Incorrect API key provided"
"""OpenAI's words: by them LiteLLM's client tells a wrong key from a wrong request."""

_SIGNED: Final = re.compile(rb"AWS4-HMAC-SHA256 +Credential=([^/,\s]{1,512})/")

Find = Callable[[bytes], Holder | None]
"""From the hash of a key to who holds it, where it is not one of the configuration's."""


class Keys:
    """All keys in force, by their keyed hashes: those of the configuration first, then what `find` knows."""

    def __init__(
        self, declared: Mapping[str, Holder], secret: bytes, find: Find, complete: Callable[[], bool] = lambda: True
    ) -> None:
        """`complete` says whether `find` knows all that the store does: a new machine has to be told first."""
        self._secret = secret
        self.complete = complete
        self._find = find
        self._declared = {self.digest(key.encode()): holder for key, holder in declared.items()}
        self._permits: dict[tuple[int, str], tuple[Holder, bool]] = {}

    def __repr__(self) -> str:
        return f"<Keys {len(self._declared)} of the configuration>"

    def digest(self, token: bytes) -> bytes:
        """Return the hash under which a key is known."""
        return digest(token, self._secret)

    def holder(self, hashed: bytes) -> Holder | None:
        """Return who holds the key with this hash."""
        return self._declared.get(hashed) or self._find(hashed)

    def may_use(self, holder: Holder, name: str) -> bool:
        """Return whether a holder may use a model by this name."""
        if not holder.models:
            return True
        known = self._permits.get((id(holder), name))
        if known is not None and known[0] is holder:
            return known[1]
        allowed = any(matches(pattern, name) for pattern in holder.models)
        if len(self._permits) > MEMO_BOUND:
            self._permits.clear()
        self._permits[id(holder), name] = (holder, allowed)
        return allowed

    def check_model(self, holder: Holder, *names: str) -> None:
        """Raise Forbidden unless the holder may use a model known by one of these names."""
        if holder.models and not any(self.may_use(holder, name) for name in names):
            raise Forbidden(f"the key {holder.name!r} may not use the model {names[0]!r}", param="model")

    def check_passthrough(self, holder: Holder, provider: str) -> None:
        """Raise Forbidden unless the holder may speak to a provider directly."""
        if provider not in holder.passthrough and "*" not in holder.passthrough:
            raise Forbidden(
                f"the key {holder.name!r} may not use /{provider}/…; its `passthrough` would have to list {provider!r}"
            )


def token_of(fields: Mapping[bytes, bytes], query: str) -> bytes | None:
    """Return the key that a request carries, wherever its SDK puts it.

    The headers of gateways' clients, Authorization (Bearer, or an AWS signature whose access key id is the gateway
    key), the key headers of the providers' SDKs, or `key=` in the query (Google's REST clients).
    """
    for name in GATEWAYS:
        if token := fields.get(name):
            return _bare(token)
    authorization = fields.get(b"authorization")
    if authorization:
        if authorization[:7].lower() == b"bearer ":
            return authorization[7:].strip()
        signed = _SIGNED.match(authorization)
        if signed is not None:
            return unquote_to_bytes(signed[1])
    for name in HEADERS:
        if token := fields.get(name):
            return _bare(token)
    if "key=" in query:
        for pair in query.split("&"):
            if pair.startswith("key="):
                return unquote_to_bytes(pair[4:])
    return None


def _bare(token: bytes) -> bytes:
    token = token.strip()
    return token[7:].strip() if token[:7].lower() == b"bearer " else token


def identify(fields: Mapping[bytes, bytes], query: str, keys: Keys) -> bytes:
    """Return the hash of the key that a request carries, or raise Unauthenticated."""
    token = token_of(fields, query)
    if not token:
        raise Unauthenticated("no API key was sent; send the gateway's key as `Authorization: Bearer …` or x-api-key")
    return keys.digest(token)


def authenticate(hashed: bytes, keys: Keys, operation: str, exchange: Exchange, now: float) -> Holder:
    """Return who holds a key. Raises Unauthenticated, Forbidden, StateUnavailable. `now` is in seconds of the epoch."""
    holder = keys.holder(hashed)
    if holder is None:
        if not keys.complete():
            raise StateUnavailable(
                "this machine does not know all keys yet; they are read from the store: try again in a moment",
                retry_after=1,
            )
        raise Unauthenticated(f"{INCORRECT}: it is not one of this gateway's")
    if holder.blocked:
        raise Forbidden(f"the key {holder.name!r} is blocked")
    if holder.expires is not None and holder.expires <= now:
        raise Unauthenticated(f"{INCORRECT}: the key {holder.name!r} has expired")
    if holder.routes and operation not in holder.routes:
        raise Forbidden(f"the key {holder.name!r} may not call {operation}; it may call {', '.join(holder.routes)}")
    if holder.ips and not _from(holder.ips, exchange.peer):
        raise Forbidden(f"the key {holder.name!r} may not be used from this address")
    return holder


def unconditional(holder: Holder) -> bool:
    """Return whether the key of a holder that was let in is good at any time, for any call, from anywhere."""
    return holder.expires is None and not holder.routes and not holder.ips


def _from(networks: tuple[str, ...], peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False  # a unix socket has no address
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in ipaddress.ip_network(network, strict=False) for network in networks)
