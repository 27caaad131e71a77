"""The example of a whole configuration, with the secret file it names."""

from importlib.resources import files
from pathlib import Path

import pytest


@pytest.fixture
def environ() -> dict[str, str]:
    return {
        "PORTICO_MASTER_KEY": "sk-portico-the-master-key",
        "OPENAI_API_KEY": "sk-one",
        "OPENAI_API_KEY_2": "sk-two",
        "SHOP_KEY": "sk-portico-of-the-shop",
        "RESEARCH_KEY": "sk-portico-of-research",
    }


@pytest.fixture
def example(tmp_path: Path) -> Path:
    text = files("portico.config").joinpath("example.yaml").read_text(encoding="utf-8")
    assert "file:/run/secrets/anthropic" in text
    (tmp_path / "anthropic").write_text("sk-of-anthropic\n")
    file = tmp_path / "portico.yaml"
    file.write_text(text.replace("/run/secrets/anthropic", "anthropic"))
    return file
