"""A configuration handed to another process."""

from pathlib import Path

import pytest

from portico.config.handover import decode, encode
from portico.config.load import load
from portico.config.schema import Config
from portico.errors import ConfigError


def test_a_configuration_survives_the_way_to_another_process(example: Path, environ: dict[str, str]) -> None:
    config = load(example, environ).config
    assert config.providers["anthropic"].api_key == "sk-of-anthropic"
    assert decode(encode(config)) == config
    assert decode(encode(Config())) == Config()


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x80\x80", b"\x81\xa1x\x01", b"\x91" * 100_000, b"\x81\xa6server\xa2\xff\xfe"]
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError, match="handed over"):
        decode(data)
