"""What control hands to workers beside keys and rules: prices and keys of providers, and what customers are billed.

Prices are open. Keys of providers are sealed (AES-256-GCM, a random nonce of 12 bytes first) with a key that follows
from the installation's secret: a copy of the state without that secret tells nothing of them.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from portico.config.schema import Provider
from portico.errors import StateUnavailable
from portico.secret import derived

_NONCE: Final = 12
_ABOUT: Final = b"keys of providers"


class StoredPrice(msgspec.Struct, frozen=True, array_like=True):
    """What `provider/model` costs from `starts` on (seconds since the epoch), in dollars per million tokens."""

    model: str
    starts: int
    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None


class StoredKey(msgspec.Struct, frozen=True, array_like=True):
    """A key for a provider, by the provider's name in the configuration. Its `repr` does not show it.

    With a `team` it is for the calls of that one alone.
    """

    provider: str
    id: str
    secret: str
    team: str | None = None

    def __repr__(self) -> str:
        return f"<StoredKey {self.id} for {self.provider}>"


class Supplies(msgspec.Struct, frozen=True):
    """All of it as it stands in state, encoded. Empty where there is none."""

    prices: bytes = b""
    keys: bytes = b""
    markups: bytes = b""


NOTHING: Final = Supplies()


def shared_of(provider: str, keys: Sequence[StoredKey]) -> list[StoredKey]:
    """Return the keys for a provider that serve all calls."""
    return [key for key in keys if key.provider == provider and key.team is None]


def with_stored(provider: Provider, keys: Sequence[StoredKey]) -> Provider:
    """Return a provider with keys of the store behind its own."""
    if not keys:
        return provider
    own = (*provider.api_keys, *((provider.api_key,) if provider.api_key else ()))
    return msgspec.structs.replace(provider, api_key=None, api_keys=(*own, *(key.secret for key in keys)))


_encode = msgspec.msgpack.Encoder().encode
_decode_prices = msgspec.msgpack.Decoder(tuple[StoredPrice, ...]).decode
_decode_keys = msgspec.msgpack.Decoder(tuple[StoredKey, ...]).decode


_decode_markups = msgspec.msgpack.Decoder(dict[str, int]).decode


def render_prices(prices: Sequence[StoredPrice]) -> bytes:
    """Return prices as they are put into state."""
    return _encode(tuple(prices)) if prices else b""


def parse_prices(found: bytes) -> tuple[StoredPrice, ...]:
    """Return prices from state."""
    return _decode_prices(found) if found else ()


def render_markups(markups: Mapping[str, int]) -> bytes:
    """Return the markups of customers, in millionths, as they are put into state."""
    return _encode(dict(sorted(markups.items()))) if markups else b""


def parse_markups(found: bytes) -> dict[str, int]:
    """Return the markups of customers from state."""
    return _decode_markups(found) if found else {}


def render_keys(keys: Sequence[StoredKey], secret: bytes, before: bytes = b"") -> bytes:
    """Return keys sealed; as they were sealed `before`, where they are the same."""
    if not keys:
        return b""
    plain = _encode(tuple(keys))
    if before and parse_keys(before, secret) == tuple(keys):
        return before
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(derived(secret, "supplies")).encrypt(nonce, plain, _ABOUT)


def parse_keys(box: bytes, secret: bytes) -> tuple[StoredKey, ...]:
    """Return sealed keys. Raises StateUnavailable where they were sealed by another installation, or changed."""
    if not box:
        return ()
    # Loaded by those alone who have keys in the store.
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return _decode_keys(AESGCM(derived(secret, "supplies")).decrypt(box[:_NONCE], box[_NONCE:], _ABOUT))
    except InvalidTag:
        raise StateUnavailable("the keys of providers in the state were not sealed by this installation") from None
