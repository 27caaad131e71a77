"""The installation's secret: 32 bytes in its data directory, made once. Keys are hashed with it, and secrets sealed."""

import contextlib
import os
from pathlib import Path
from typing import Final

from portico.errors import ConfigError
from portico.hashing import blake2b

LENGTH: Final = 32
DIGEST: Final = 16
"""Bytes of a key's hash: what `State.holder` takes."""


def installation_secret(data_dir: str | os.PathLike[str]) -> bytes:
    """Return the secret in `{data_dir}/secret`, made where there is none. Raises ConfigError where it cannot be had.

    Several processes may ask at once: one makes it, whole, and all get the same.
    """
    path = Path(data_dir) / "secret"
    try:
        with contextlib.suppress(FileNotFoundError):
            return _checked(path)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".secret.{os.getpid()}.{os.urandom(4).hex()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(LENGTH))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
        return _checked(path)
    except OSError as error:
        raise ConfigError(f"the secret {str(path)!r} cannot be made or read: {error.strerror}") from error


def digest(token: bytes, secret: bytes) -> bytes:
    """Return the keyed hash of a gateway key: 16 bytes of BLAKE2b."""
    return blake2b(token, key=secret, digest_size=DIGEST).digest()


def derived(secret: bytes, purpose: str) -> bytes:
    """Return 32 bytes for one purpose (a word of at most 16 characters) that tell nothing of the secret."""
    return blake2b(key=secret, person=purpose.encode(), digest_size=32).digest()


def _checked(path: Path) -> bytes:
    secret = path.read_bytes()
    if len(secret) != LENGTH:
        raise ConfigError(f"the secret {str(path)!r} has {len(secret)} bytes instead of {LENGTH}; restore it")
    return secret
