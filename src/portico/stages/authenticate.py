"""Who is calling: the key out of a request, and the caller that it stands for. Runs before the body is read."""

import hashlib
import os
import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from portico.call import Caller
from portico.config.schema import Key
from portico.config.wildcard import matches
from portico.errors import Forbidden, Unauthenticated

HEADERS = (b"x-api-key", b"api-key", b"x-goog-api-key", b"x-portico-api-key", b"x-litellm-api-key")
"""Where SDKs put a key when not in Authorization: Anthropic, Azure, Google, and gateways."""

_SIGNED = re.compile(rb"AWS4-HMAC-SHA256 +Credential=([^/,\s]{1,512})/")


class Keys:
    """All keys in force. They are kept as keyed hashes; the hash key lives as long as the process."""

    def __init__(self, declared: Mapping[str, Key], master_key: str | None) -> None:
        self._secret = os.urandom(32)
        self._callers = {
            self._digest(key.key.encode()): Caller(name=name, models=key.models, passthrough=key.passthrough)
            for name, key in declared.items()
        }
        if master_key is not None:
            self._callers[self._digest(master_key.encode())] = Caller(name="master", passthrough=("*",), master=True)
        self._permits: dict[tuple[str, str], bool] = {}

    def __repr__(self) -> str:
        return f"<Keys {len(self._callers)}>"

    def __len__(self) -> int:
        return len(self._callers)

    def _digest(self, token: bytes) -> bytes:
        return hashlib.blake2b(token, key=self._secret, digest_size=16).digest()

    def caller(self, token: bytes) -> Caller | None:
        """Return the holder of a key."""
        return self._callers.get(self._digest(token))

    def may_use(self, caller: Caller, name: str) -> bool:
        """Return whether the caller may use a model by this name."""
        if not caller.models:
            return True
        allowed = self._permits.get((caller.name, name))
        if allowed is None:
            allowed = any(matches(pattern, name) for pattern in caller.models)
            if len(self._permits) > 10_000:
                self._permits.clear()
            self._permits[(caller.name, name)] = allowed
        return allowed

    def check_model(self, caller: Caller, *names: str) -> None:
        """Raise Forbidden unless the caller may use a model known by one of these names."""
        if caller.models and not any(self.may_use(caller, name) for name in names):
            raise Forbidden(f"the key {caller.name!r} may not use the model {names[0]!r}", param="model")

    def check_passthrough(self, caller: Caller, provider: str) -> None:
        """Raise Forbidden unless the caller may speak to a provider directly."""
        if provider not in caller.passthrough and "*" not in caller.passthrough:
            raise Forbidden(
                f"the key {caller.name!r} may not use /{provider}/…; its `passthrough` would have to list {provider!r}"
            )


def token_of(fields: Mapping[bytes, bytes], query: str) -> bytes | None:
    """Return the key that a request carries, wherever its SDK puts it.

    Authorization (Bearer, or an AWS signature whose access key id is the gateway key), the key headers of the
    providers' SDKs, or `key=` in the query (Google's REST clients).
    """
    authorization = fields.get(b"authorization")
    if authorization:
        if authorization[:7].lower() == b"bearer ":
            return authorization[7:].strip()
        signed = _SIGNED.match(authorization)
        if signed is not None:
            return unquote_to_bytes(signed[1])
    for name in HEADERS:
        token = fields.get(name)
        if token:
            token = token.strip()
            return token[7:].strip() if token[:7].lower() == b"bearer " else token
    if "key=" in query:
        for pair in query.split("&"):
            if pair.startswith("key="):
                return unquote_to_bytes(pair[4:])
    return None


def authenticate(fields: Mapping[bytes, bytes], query: str, keys: Keys) -> Caller:
    """Return who is calling, or raise Unauthenticated."""
    token = token_of(fields, query)
    if not token:
        raise Unauthenticated("no API key was sent; send the gateway's key as `Authorization: Bearer …` or x-api-key")
    caller = keys.caller(token)
    if caller is None:
        raise Unauthenticated("the API key is not one of this gateway's")
    return caller
