"""The providers' Node SDKs through the gateway, by their base URL and key alone.

Each script in `node/` makes its calls and prints what came of them; here it is held against record and ledger.
"""

import pytest
from tests.e2e.front import KEY, Front
from tests.e2e.nodes import Node, install

from portico.testing import tokens

pytestmark = [pytest.mark.xdist_group("e2e-node"), pytest.mark.timeout(180)]


@pytest.fixture(scope="session")
def node() -> Node:
    return install()


def test_openai(front: Front, node: Node):
    out = node.run("openai.mjs", GATEWAY_URL=front.url, GATEWAY_KEY=KEY)
    whole, streamed = out["whole"], out["streamed"]
    assert tokens(whole["text"]) == whole["usage"]["completion_tokens"] == 9
    front.agrees(whole["headers"], target="openai/gpt-4o-mini")
    assert streamed["text"] == whole["text"]
    assert streamed["usages"] == 0
    assert front.agrees(streamed["headers"], target="openai/gpt-4o-mini", stream=True).usage.output == 9
    assert out["usage"] == whole["usage"]
    assert out["tools"][0] == out["tools"][1] != ""
    assert out["responses"]["last"] == "response.completed"
    assert out["responses"]["streamed"] == out["responses"]["whole"] != ""
    assert (out["embedding"], out["speech"], out["models"]) == (8, "RIFF", 1)
    assert out["transcript"]
    failures = out["failures"]
    assert (failures["key"]["name"], failures["key"]["status"]) == ("AuthenticationError", 401)
    assert (failures["model"]["name"], failures["model"]["status"]) == ("NotFoundError", 404)
    assert (failures["limit"]["name"], failures["limit"]["status"]) == ("RateLimitError", 429)
    assert (failures["server"]["name"], failures["server"]["status"]) == ("InternalServerError", 500)
    assert failures["cut"]["name"] == "APIError"
    assert "closed the connection" in failures["cut"]["message"]


def test_anthropic(front: Front, node: Node):
    out = node.run("anthropic.mjs", GATEWAY_URL=front.url, GATEWAY_KEY=KEY)
    whole, streamed = out["whole"], out["streamed"]
    assert tokens(whole["text"]) == whole["usage"]["output_tokens"] == 9
    front.agrees(whole["headers"], target="anthropic/claude-haiku-4-5")
    assert streamed["text"] == whole["text"]
    assert streamed["usage"]["output_tokens"] == 9
    front.agrees(streamed["headers"], target="anthropic/claude-haiku-4-5", stream=True)
    assert out["counted"] > 0
    assert out["models"] == 1
    failures = out["failures"]
    assert (failures["key"]["name"], failures["key"]["status"]) == ("AuthenticationError", 401)
    assert (failures["limit"]["name"], failures["limit"]["status"]) == ("RateLimitError", 429)
    assert failures["cut"]["name"] == "APIError"
    assert "closed the connection" in failures["cut"]["message"]


def test_google_genai(front: Front, node: Node):
    out = node.run("genai.mjs", GATEWAY_URL=front.url, GATEWAY_KEY=KEY)
    whole, streamed = out["whole"], out["streamed"]
    assert tokens(whole["text"]) == whole["usage"]["candidatesTokenCount"] == 9
    front.agrees(whole["headers"], target="gemini/gemini-2.5-flash")
    assert streamed["text"] == whole["text"]
    assert streamed["usage"]["candidatesTokenCount"] == 9
    front.agrees(streamed["headers"], target="gemini/gemini-2.5-flash", stream=True)
    assert out["counted"] > 0
    assert out["embedding"] > 0
    failures = out["failures"]
    assert (failures["key"]["name"], failures["key"]["status"]) == ("ApiError", 401)
    assert (failures["limit"]["name"], failures["limit"]["status"]) == ("ApiError", 429)
    assert failures["cut"]["name"] == "ApiError"
    assert "closed the connection" in failures["cut"]["message"]
