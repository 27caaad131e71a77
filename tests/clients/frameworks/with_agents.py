"""OpenAI's Agents SDK, over responses and over chat completions."""

import asyncio
from typing import Any

from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI

from plan import KEY, URL, Tools, main

set_tracing_disabled(True)


def run(kind: Any, model: str, question: str, tools: Tools, *, stream: bool) -> str:
    """Run the loop."""

    async def loop() -> str:
        client = AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
        offered = [function_tool(tools.look_up), function_tool(tools.now)]
        agent = Agent(name="one", instructions="Be brief.", model=kind(model, client), tools=offered)
        if not stream:
            return str((await Runner.run(agent, question)).final_output)
        streaming = Runner.run_streamed(agent, question)
        async for _ in streaming.stream_events():
            pass
        return str(streaming.final_output)

    return asyncio.run(loop())


KINDS = {"responses": OpenAIResponsesModel, "chat": OpenAIChatCompletionsModel}
main(
    {
        f"agents_{name}{'_streamed' if stream else ''}": lambda model, question, tools, kind=kind, stream=stream: run(
            kind, model, question, tools, stream=stream
        )
        for name, kind in KINDS.items()
        for stream in (False, True)
    }
)
