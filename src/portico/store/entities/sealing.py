"""Secrets at rest: AES-256-GCM, bound to what they belong to, under keys that can be changed.

A box is the version (1), four bytes that name the key, a nonce of 12 bytes, and the sealed text with its tag
(NIST SP 800-38D). Nonces are random; one key seals far fewer boxes than that bears.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Final

from portico.errors import ConfigError
from portico.secret import derived

VARIABLE: Final = "PORTICO_ENCRYPTION_KEY"
_VERSION: Final = b"\x01"
_NONCE: Final = 12


class Unsealable(ConfigError):
    """A box that none of the keys opens."""

    code = "cannot_unseal"


class Sealer:
    """Seals by the first key, and opens by any of them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_named(key): key for key in keys}
        self._first = keys[0]

    def __repr__(self) -> str:
        return f"<Sealer {len(self._keys)} keys>"

    def seal(self, text: bytes, about: str) -> bytes:
        """Return `text` in a box that opens for the same `about` alone."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE)
        return _VERSION + _named(self._first) + nonce + AESGCM(self._first).encrypt(nonce, text, about.encode())

    def open(self, box: bytes, about: str) -> bytes:
        """Return what was sealed. Raises Unsealable."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self._keys.get(box[1:5])
        if box[:1] != _VERSION or key is None:
            raise Unsealable(f"what was sealed for {about!r} needs an older {VARIABLE}; list it after the new one")
        try:
            return AESGCM(key).decrypt(box[5 : 5 + _NONCE], box[5 + _NONCE :], about.encode())
        except InvalidTag:
            raise Unsealable(f"what was sealed for {about!r} has been tampered with, or belongs elsewhere") from None


def sealer(environ: Mapping[str, str], secret: bytes) -> Sealer:
    """Return the sealer of an installation.

    Its keys are those of PORTICO_ENCRYPTION_KEY (32 bytes in base64 or hex; several with commas, the newest first), and
    then the one that follows from the installation's secret. Raises ConfigError for what is no key.
    """
    given = [part.strip() for part in environ.get(VARIABLE, "").split(",") if part.strip()]
    return Sealer([*map(_key, given), derived(secret, "sealing")])


def _key(text: str) -> bytes:
    for decode in (bytes.fromhex, _base64):
        try:
            key = decode(text)
        except (ValueError, binascii.Error):
            continue
        if len(key) == 32:
            return key
    raise ConfigError(f"{VARIABLE} must hold 32 bytes in base64 or hex: `openssl rand -base64 32` makes such a key")


def _base64(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)


def _named(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=4, person=b"name").digest()
