"""A configuration as bytes for the processes that serve it, and as plain data for people, without its secrets."""

from typing import Any

import msgspec

from portico.config.schema import Config, shown
from portico.errors import ConfigError

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Config)


def encode(config: Config) -> bytes:
    """Return a configuration, secrets included, as bytes that `decode` reads; not for a file or a log."""
    return _encoder.encode(config)


def decode(data: bytes) -> Config:
    """Return the configuration in `data`. Raises ConfigError when it is not one of this version's."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ConfigError("the configuration that was handed over cannot be read; restart Portico") from None


def redacted(config: Config, *, defaults: bool = True) -> dict[str, Any]:
    """Return a configuration as plain data with `***` for every secret; `defaults=False` leaves out what nobody set."""
    result = _redacted(config, defaults=defaults)
    assert isinstance(result, dict)
    return result


def _redacted(value: object, *, defaults: bool) -> Any:
    if isinstance(value, msgspec.Struct):
        table = type(value)
        plain: dict[str, Any] = {}
        fields = msgspec.structs.fields(table)
        for field in fields:
            held = getattr(value, field.name)
            default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            if defaults or held != default:
                plain[field.encode_name] = _redacted(shown(table, field.name, held), defaults=defaults)
        return plain
    if isinstance(value, dict):
        return {key: _redacted(item, defaults=defaults) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_redacted(item, defaults=defaults) for item in value]
    return value
