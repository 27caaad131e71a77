"""Coding agents at providers of every dialect: rounds of the tools that Codex and Claude Code send, streamed and whole.

What they send is theirs: tools of free text, in namespaces, with a search that their own provider runs, and tools that
only their own models know untold. The agents here answer each call, and send it all again.
"""

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from tests.clients.stage import DIALECTS, KEY, Stage, model
from tests.dialects.crossing import pairs

pytestmark = [pytest.mark.xdist_group("clients-python"), pytest.mark.timeout(180)]

both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
every_provider = pytest.mark.parametrize("upstream", DIALECTS)
ROUNDS = "turns=2&calls={}"
LARK = "start: begin_patch hunk+ end_patch"
TEXT = {"type": "string"}


def schema(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


# As Codex sends them.
CODEXS: list[dict[str, Any]] = [
    {
        "type": "function",
        "name": "exec_command",
        "description": "Runs a command in a PTY, returning output or a session ID for ongoing interaction.",
        "strict": False,
        "parameters": schema("cmd", cmd=TEXT, workdir=TEXT, yield_time_ms={"type": "number"}),
    },
    {
        "type": "custom",
        "name": "apply_patch",
        "description": "Use the `apply_patch` tool to edit files.",
        "format": {"type": "grammar", "syntax": "lark", "definition": LARK},
    },
    {"type": "web_search", "external_web_access": False},
    {
        "type": "namespace",
        "name": "mcp__docs__",
        "description": "Tools of a server.",
        "tools": [
            {"type": "function", "name": "look_up", "description": "Looks up.", "parameters": schema("q", q=TEXT)}
        ],
    },
]
# As the OpenAI Agents SDK sends its own.
KNOWN: list[dict[str, Any]] = [
    {"type": "shell", "environment": {"type": "local"}},
    {"type": "apply_patch"},
    {"type": "local_shell"},
]
ANSWERS = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "shell_call": "shell_call_output",
    "local_shell_call": "local_shell_call_output",
    "apply_patch_call": "apply_patch_call_output",
}
SHELLED = [{"stdout": "a.py\n", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]


class Codex:
    """An agent of Responses."""

    def __init__(self, stage: Stage, upstream: str, tools: list[dict[str, Any]], calls: int) -> None:
        stage.mock.mock.script.always(ROUNDS.format(calls))
        self.client = openai.OpenAI(base_url=f"{stage.url}/v1", api_key=KEY, max_retries=0)
        self.model = model(upstream)
        self.tools = tools
        self.history: list[Any] = [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix it."}]},
        ]
        self.dropped: set[str] = set()

    def turn(self, stream: bool) -> Any:
        """Ask once, and return the output."""
        asked: dict[str, Any] = {
            "model": self.model,
            "instructions": "You are a coding agent.",
            "input": self.history,
            "tools": self.tools,
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": "0190",
        }
        if stream:
            with self.client.responses.with_streaming_response.create(**asked, stream=True) as raw:
                self.note(raw.headers)
                events = list(raw.parse())
            assert [event.sequence_number for event in events] == list(range(len(events)))
            assert events[-1].type == "response.completed"
            output = events[-1].response.output
            done = [event.item for event in events if event.type == "response.output_item.done"]
            assert [item.to_dict() for item in done] == [item.to_dict() for item in output]
        else:
            whole = self.client.responses.with_raw_response.create(**asked)
            self.note(whole.headers)
            output = whole.parse().output
        self.history += [item.to_dict() for item in output]
        return output

    def note(self, headers: Any) -> None:
        self.dropped |= {name.strip() for name in headers.get("x-portico-dropped", "").split(",") if name.strip()}

    def run(self, stream: bool) -> Iterator[Any]:
        """Go on until there is no call to answer, yielding each."""
        for _ in range(4):
            calls = [item for item in self.turn(stream) if item.type in ANSWERS]
            if not calls:
                return
            for call in calls:
                kind = ANSWERS[call.type]
                answer: dict[str, Any] = {"type": kind, "call_id": call.call_id, "output": "done"}
                if kind == "shell_call_output":
                    answer["output"] = SHELLED
                elif kind == "apply_patch_call_output":
                    answer["status"] = "completed"
                self.history.append(answer)
                yield call


@both_ways
@every_provider
def test_codex_works_through_rounds_of_its_tools(stage: Stage, upstream: str, stream: bool) -> None:
    if upstream == "responses":
        pytest.skip("the mock calls functions alone")
    agent = Codex(stage, upstream, CODEXS, 3)
    called = [(call.type, call.name, getattr(call, "namespace", None)) for call in agent.run(stream)]
    assert called == 2 * [
        ("function_call", "exec_command", None),
        ("custom_tool_call", "apply_patch", None),
        ("function_call", "look_up", "mcp__docs__"),
    ]
    assert agent.history[-1]["type"] == "message"
    assert "server_tool" in agent.dropped


@both_ways
@every_provider
def test_tools_that_gpt_knows_work_with_every_model(stage: Stage, upstream: str, stream: bool) -> None:
    if upstream == "responses":
        pytest.skip("the mock calls functions alone")
    agent = Codex(stage, upstream, KNOWN, 3)
    called = [call.type for call in agent.run(stream)]
    assert called == 2 * ["shell_call", "apply_patch_call", "local_shell_call"]
    assert agent.history[-1]["type"] == "message"
    body = next(entry.body for entry in reversed(stage.taken()) if entry.body)
    results = [fact for fact in pairs.arrived(upstream, body) if fact[0] == "result"]  # type: ignore[arg-type]  # a dialect
    assert [fact[2] for fact in results] == 2 * [
        '[{"outcome":{"exit_code":0,"type":"exit"},"stderr":"","stdout":"a.py\\n"}]',
        "done",
        "done",
    ]


# As Claude Code sends them, and with them those of Anthropic's that other agents use.
CLAUDES: list[dict[str, Any]] = [
    {
        "name": "Bash",
        "description": "Runs a command.",
        "input_schema": schema("command", command=TEXT, timeout={"type": "number"}),
    },
    {"name": "mcp__docs__look_up", "description": "Looks up.", "input_schema": schema("q", q=TEXT)},
    {"type": "bash_20250124", "name": "bash"},
    {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
    {"type": "memory_20250818", "name": "memory", "cache_control": {"type": "ephemeral"}},
]
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}


@both_ways
@every_provider
def test_claude_code_works_through_rounds_of_its_tools(stage: Stage, upstream: str, stream: bool) -> None:
    own = upstream == "messages"
    tools = CLAUDES[:2] if own else CLAUDES
    stage.mock.mock.script.always(ROUNDS.format(len(tools)))
    client = anthropic.Anthropic(base_url=stage.url, api_key=KEY, max_retries=0)
    history: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "Fix it."}]}]
    called: list[str] = []
    dropped = ""
    for _ in range(4):
        asked: dict[str, Any] = {
            "model": model(upstream),
            "max_tokens": 4000,
            "system": [{"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}}],
            "messages": history,
            "tools": [*tools, SEARCH],
            "metadata": {"user_id": "user_1_account__session_2"},
        }
        if stream:
            with client.messages.stream(**asked) as events:
                dropped = events.response.headers.get("x-portico-dropped", "")
                message = events.get_final_message()
        else:
            raw = client.messages.with_raw_response.create(**asked)
            dropped, message = raw.headers.get("x-portico-dropped", ""), raw.parse()
        calls = [block for block in message.content if block.type == "tool_use"]
        history.append({"role": "assistant", "content": [block.to_dict() for block in message.content]})
        if not calls:
            break
        assert message.stop_reason == "tool_use"
        called += [call.name for call in calls]
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "done"} for call in calls]
        history.append({"role": "user", "content": results})
    assert called == 2 * [tool["name"] for tool in tools]
    assert ("server_tool" in dropped.split(", ")) is (upstream not in ("messages", "responses"))


@pytest.mark.parametrize("upstream", ["chat", "converse", "cohere"])
def test_claude_codes_search_fails_where_nobody_can_search(stage: Stage, upstream: str) -> None:
    client = anthropic.Anthropic(base_url=stage.url, api_key=KEY, max_retries=0)
    question: Any = {"role": "user", "content": "Perform a web search for the query: news"}
    tools: Any = [SEARCH]
    with pytest.raises(anthropic.BadRequestError, match="web_search") as raised:
        client.messages.create(model=model(upstream), max_tokens=99, messages=[question], tools=tools)
    assert raised.value.body["error"]["type"] == "invalid_request_error"  # type: ignore[index]  # an error's body
