"""Pydantic AI's agent, with its models of three APIs."""

import asyncio
from collections.abc import AsyncIterable, Callable
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from plan import KEY, URL, Tools, main


def whole(model: Any, question: str, tools: Tools) -> str:
    """Run the loop whole."""
    return str(Agent(model, tools=[tools.look_up, tools.now]).run_sync(question).output)


async def drained(_context: Any, events: AsyncIterable[Any]) -> None:
    """Take the events of an answer as they come: so each is streamed."""
    async for _ in events:
        pass


def streamed(model: Any, question: str, tools: Tools) -> str:
    """Run the loop with every answer streamed."""
    agent = Agent(model, tools=[tools.look_up, tools.now])
    return str(asyncio.run(agent.run(question, event_stream_handler=drained)).output)


def openai(model: str) -> OpenAIChatModel:
    """Return the model of chat completions."""
    return OpenAIChatModel(model, provider=OpenAIProvider(base_url=f"{URL}/v1", api_key=KEY))


def responses(model: str) -> OpenAIResponsesModel:
    """Return the model of responses."""
    return OpenAIResponsesModel(model, provider=OpenAIProvider(base_url=f"{URL}/v1", api_key=KEY))


def anthropic(model: str) -> AnthropicModel:
    """Return the model of Anthropic's messages."""
    return AnthropicModel(model, provider=AnthropicProvider(base_url=URL, api_key=KEY))


def google(model: str) -> GoogleModel:
    """Return the model of Gemini."""
    return GoogleModel(model, provider=GoogleProvider(base_url=URL, api_key=KEY))


MODELS = {"openai": openai, "responses": responses, "anthropic": anthropic, "google": google}


def loop(name: str, run: Callable[[Any, str, Tools], str]) -> Callable[[str, str, Tools], str]:
    """Return the loop over one of the models."""
    return lambda model, question, tools: run(MODELS[name](model), question, tools)


main(
    {f"pydantic_ai_{name}": loop(name, whole) for name in MODELS}
    | {f"pydantic_ai_{name}_streamed": loop(name, streamed) for name in MODELS}
)
