"""LangChain's agent loop by hand: bind tools, answer each call, go on until there is none."""

from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI

from plan import KEY, URL, Tools, main


def loop(model: Any, question: str, tools: Tools, *, stream: bool = False) -> str:
    """Run the loop."""
    offered = {tool.name: tool for tool in map(StructuredTool.from_function, (tools.look_up, tools.now))}
    bound = model.bind_tools(list(offered.values()))
    history: list[Any] = [HumanMessage(question)]
    while True:
        if stream:
            said = None
            for chunk in bound.stream(history):
                said = chunk if said is None else said + chunk
        else:
            said = bound.invoke(history)
        history.append(said)
        if not said.tool_calls:
            return str(said.text if isinstance(said.text, str) else said.text())
        for call in said.tool_calls:
            answer = offered[call["name"]].invoke(call["args"])
            history.append(ToolMessage(answer, tool_call_id=call["id"]))


def openai(model: str, **more: Any) -> ChatOpenAI:
    """Return LangChain's client of chat completions, or of responses."""
    return ChatOpenAI(model=model, base_url=f"{URL}/v1", api_key=KEY, max_retries=0, **more)


def anthropic(model: str) -> ChatAnthropic:
    """Return LangChain's client of Anthropic's messages."""
    return ChatAnthropic(model=model, base_url=URL, api_key=KEY, max_retries=0, max_tokens=4000)


main(
    {
        "langchain_openai": lambda model, question, tools: loop(openai(model), question, tools),
        "langchain_openai_streamed": lambda model, question, tools: loop(openai(model), question, tools, stream=True),
        "langchain_openai_responses": lambda model, question, tools: loop(
            openai(model, use_responses_api=True), question, tools
        ),
        "langchain_anthropic": lambda model, question, tools: loop(anthropic(model), question, tools),
        "langchain_anthropic_streamed": lambda model, question, tools: loop(
            anthropic(model), question, tools, stream=True
        ),
    }
)
