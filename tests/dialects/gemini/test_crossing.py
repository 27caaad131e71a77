"""What other dialects ask for, said to Gemini: a case is an IR and the JSON that it comes to."""

from typing import Any

import pytest
from tests.dialects.gemini.given import MODEL, foreign, rendered

from portico.errors import InvalidRequest
from portico.ir import (
    Audio,
    CacheMark,
    Citation,
    File,
    Image,
    Message,
    Opaque,
    Output,
    Part,
    Reasoning,
    Refusal,
    Request,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Video,
)

SCHEMA = {
    "type": "object",
    "$defs": {"pet": {"type": "object", "properties": {"name": {"type": "string"}}}},
    "properties": {
        "pet": {"$ref": "#/$defs/pet"},
        "age": {"type": ["integer", "null"]},
        "kind": {"const": "cat"},
        "tags": {"type": "array"},
        "more": {"oneOf": [{"type": "string", "format": "uri"}, {"type": "null"}]},
        "all": {"allOf": [{"type": "object", "properties": {"x": {"type": "number"}}}, {"required": ["x"]}]},
    },
    "required": ["pet", "gone"],
    "additionalProperties": False,
}
SIGNED = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="


def user(*parts: Part) -> Message:
    return Message(role="user", parts=parts)


def said(*parts: Part) -> Message:
    return Message(role="assistant", parts=parts)


PARTS: list[tuple[Part, Any, list[str]]] = [
    (Text(text="hi"), {"text": "hi"}, []),
    (Text(text="hi", cache=CacheMark()), {"text": "hi"}, ["cache_mark"]),
    (Text(text="hi", citations=(Citation(url="http://a"),)), {"text": "hi"}, ["citations"]),
    (Refusal(text="no"), {"text": "no"}, []),
    (
        Image(source=Source(data="iVBORw0", media_type="image/webp")),
        {"inlineData": {"data": "iVBORw0", "mimeType": "image/webp"}},
        [],
    ),
    (Image(source=Source(data="/9j/4AAQ")), {"inlineData": {"data": "/9j/4AAQ", "mimeType": "image/jpeg"}}, []),
    (
        Image(source=Source(url="https://a/b.gif?x=1")),
        {"fileData": {"fileUri": "https://a/b.gif?x=1", "mimeType": "image/gif"}},
        [],
    ),
    (Image(source=Source(url="https://a/b")), {"fileData": {"fileUri": "https://a/b", "mimeType": "image/png"}}, []),
    (
        Image(source=Source(url="data:image/gif;base64,R0lG")),
        {"inlineData": {"data": "R0lG", "mimeType": "image/gif"}},
        [],
    ),
    (File(source=Source(url="data:text/plain,a%20b")), {"inlineData": {"data": "YSBi", "mimeType": "text/plain"}}, []),
    (
        Audio(source=Source(data="aaaa", media_type="audio/mp3")),
        {"inlineData": {"data": "aaaa", "mimeType": "audio/mp3"}},
        [],
    ),
    (Video(source=Source(url="gs://a/b.mp4")), {"fileData": {"fileUri": "gs://a/b.mp4", "mimeType": "video/mp4"}}, []),
    (
        File(source=Source(data="JVBERi0"), name="a.pdf"),
        {"inlineData": {"data": "JVBERi0", "mimeType": "application/pdf"}},
        [],
    ),
    (File(source=Source(text="words"), name="a.txt"), {"text": "Document 'a.txt':\nwords"}, []),
    (
        File(source=Source(), data={"title": "A", "text": "b"}, id="d1"),
        {"text": "Document 'd1':\ntitle: A\ntext: b"},
        [],
    ),
    (Thinking(text="hm"), {"text": "hm", "thought": True}, []),
    (
        Thinking(text="hm", opaque="c2ln", maker="gemini"),
        {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
        [],
    ),
    (Thinking(opaque="c2ln", maker="gemini"), {"text": "", "thoughtSignature": "c2ln"}, []),
    (Thinking(text="hm", opaque="other", maker="messages"), {"text": "hm", "thought": True}, ["thinking_history"]),
]


@pytest.mark.parametrize(("part", "expected", "lost"), PARTS, ids=range(len(PARTS)))
def test_a_part_is_said(part, expected, lost):
    body, dropped = rendered(foreign(messages=(user(part),)))
    assert body["contents"] == [{"role": "user", "parts": [expected]}]
    assert dropped == lost


SILENT: list[tuple[Part, list[str]]] = [
    (Text(text=""), []),
    (Thinking(opaque="x", maker="messages", redacted=True), ["thinking_history"]),
    (Opaque(value={"type": "odd"}), ["opaque"]),
    (ToolCall(id="1", name="web_search", kind="server"), ["server_tool_history"]),
    (ToolResult(id="1", name="web_search", server=True), ["server_tool_history"]),
]


@pytest.mark.parametrize(("part", "lost"), SILENT, ids=range(len(SILENT)))
def test_what_says_nothing_leaves_no_empty_part(part, lost):
    body, dropped = rendered(foreign(messages=(user(Text(text="hi")), said(part))))
    assert body["contents"] == [{"role": "user", "parts": [{"text": "hi"}]}]
    assert dropped == lost


def test_a_file_kept_elsewhere_is_refused():
    with pytest.raises(InvalidRequest, match="file-1"):
        rendered(foreign(messages=(user(File(source=Source(file_id="file-1"))),)))


def test_calls_and_answers_keep_their_ids_and_names():
    calls = (ToolCall(id="a", name="f", arguments='{"x":1}'), ToolCall(id="b", name="g", arguments="not json"))
    answers = (
        Message(role="tool", parts=(ToolResult(id="b", parts=(Text(text="two"),)),)),
        Message(role="tool", parts=(ToolResult(id="a", data={"y": 2}),)),
    )
    body, dropped = rendered(foreign(messages=(user(Text(text="go")), said(*calls), *answers, user(Text(text="so?")))))
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "go"}]},
        {
            "role": "model",
            "parts": [
                {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}, "thoughtSignature": SIGNED},
                {"functionCall": {"id": "b", "name": "g", "args": {"input": "not json"}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "b", "name": "g", "response": {"output": "two"}}},
                {"functionResponse": {"id": "a", "name": "f", "response": {"y": 2}}},
            ],
        },
        {"role": "user", "parts": [{"text": "so?"}]},
    ]
    assert dropped == []


def test_a_signed_call_keeps_its_signature():
    call = ToolCall(id="a", name="f", signature="c2ln")
    body, _ = rendered(foreign(messages=(user(Text(text="go")), said(call))))
    assert body["contents"][1]["parts"] == [
        {"functionCall": {"id": "a", "name": "f", "args": {}}, "thoughtSignature": "c2ln"}
    ]


RESULTS: list[tuple[ToolResult, dict[str, Any]]] = [
    (ToolResult(id="a"), {"response": {"output": ""}}),
    (ToolResult(id="a", error=True, parts=(Text(text="no"),)), {"response": {"error": "no"}}),
    (ToolResult(id="a", error=True, data={"code": 1}), {"response": {"error": {"code": 1}}}),
    (ToolResult(id="a", data=[1, 2]), {"response": {"output": [1, 2]}}),
    (ToolResult(id="a", data={"x": 1}, parts=(Text(text="t"),)), {"response": {"x": 1, "output": "t"}}),
    (
        ToolResult(id="a", parts=(Text(text="see"), Image(source=Source(data="iVBOR")))),
        {"response": {"output": "see"}, "parts": [{"inlineData": {"data": "iVBOR", "mimeType": "image/png"}}]},
    ),
]


@pytest.mark.parametrize(("result", "expected"), RESULTS, ids=range(len(RESULTS)))
def test_a_result_is_said(result, expected):
    messages = (user(Text(text="go")), said(ToolCall(id="a", name="f")), Message(role="tool", parts=(result,)))
    body, dropped = rendered(foreign(messages=messages))
    assert body["contents"][-1]["parts"] == [{"functionResponse": {"id": "a", "name": "f", **expected}}]
    assert dropped == []


def test_before_gemini_3_media_of_a_result_stand_beside_it():
    result = ToolResult(id="a", parts=(Image(source=Source(data="iVBOR")),))
    messages = (user(Text(text="go")), said(ToolCall(id="a", name="f")), Message(role="tool", parts=(result,)))
    body, _ = rendered(foreign(messages=messages), "gemini-2.5-flash")
    assert body["contents"][1]["parts"] == [{"functionCall": {"id": "a", "name": "f", "args": {}}}]
    assert body["contents"][2]["parts"] == [{"functionResponse": {"id": "a", "name": "f", "response": {"output": ""}}}]
    assert body["contents"][3]["parts"] == [{"inlineData": {"data": "iVBOR", "mimeType": "image/png"}}]


def test_a_result_without_its_call_is_said_as_text():
    result = ToolResult(id="a", name="f", parts=(Text(text="42"),))
    body, _ = rendered(foreign(messages=(Message(role="tool", parts=(result,)),)))
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Result of f: 42"}]}]


def test_turns_of_the_model_are_one_content():
    messages = (user(Text(text="go")), said(Text(text="ok")), said(ToolCall(id="a", name="f")))
    body, _ = rendered(foreign(messages=messages))
    assert [content["role"] for content in body["contents"]] == ["user", "model"]
    assert len(body["contents"][1]["parts"]) == 2


def test_leading_instructions_are_the_system_instruction_and_later_ones_stay_in_place():
    messages = (
        Message(role="system", parts=(Text(text="a"),)),
        Message(role="developer", parts=(Text(text="b"),)),
        user(Text(text="hi")),
        Message(role="system", parts=(Text(text="c"),)),
    )
    body, _ = rendered(foreign(system=(Text(text="0"),), messages=messages))
    assert body["systemInstruction"] == {"parts": [{"text": "0"}, {"text": "a"}, {"text": "b"}]}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "user", "parts": [{"text": "<system>\nc\n</system>"}]},
    ]


def test_instructions_alone_are_what_the_user_says():
    body, _ = rendered(foreign(messages=(Message(role="system", parts=(Text(text="a"),)),)))
    assert body["contents"] == [{"role": "user", "parts": [{"text": "a"}]}]
    assert "systemInstruction" not in body


def test_documents_stand_before_the_last_thing_said():
    documents = (File(source=Source(text="one"), id="d1"),)
    messages = (user(Text(text="hi")), said(Text(text="yes?")), user(Text(text="tell me")))
    body, _ = rendered(foreign(documents=documents, messages=messages))
    assert body["contents"][-1]["parts"] == [{"text": "Document 'd1':\none"}, {"text": "tell me"}]


FIELDS: list[tuple[dict[str, Any], str, Any, list[str]]] = [
    (
        {"max_tokens": 5, "temperature": 1, "top_p": 0.5, "top_k": 3, "seed": 7},
        MODEL,
        {"maxOutputTokens": 5, "temperature": 1, "topP": 0.5, "topK": 3, "seed": 7},
        [],
    ),
    ({"stop": ("a", "b"), "n": 2}, MODEL, {"stopSequences": ["a", "b"], "candidateCount": 2}, []),
    ({"n": 1, "logprobs": False}, MODEL, None, []),
    ({"frequency_penalty": 0.5, "presence_penalty": 1.0}, MODEL, {"frequencyPenalty": 0.5, "presencePenalty": 1.0}, []),
    ({"logprobs": True, "top_logprobs": 3}, MODEL, {"responseLogprobs": True, "logprobs": 3}, []),
    ({"logprobs": True, "top_logprobs": 0}, MODEL, {"responseLogprobs": True}, []),
    ({"logit_bias": {"1": 2}, "user": "u", "metadata": {"a": "b"}}, MODEL, None, ["logit_bias", "user", "metadata"]),
    (
        {"min_p": 0.1, "repetition_penalty": 1.1, "verbosity": "low"},
        MODEL,
        None,
        ["min_p", "repetition_penalty", "verbosity"],
    ),
    ({"safety": {"x": 1}, "prompt_cache_key": "k"}, MODEL, None, ["prompt_cache_key", "safety"]),
    ({"extra": {"store": True, "$hint": 1, "null": None}}, MODEL, None, ["field"]),
    ({"output": Output(kind="text")}, MODEL, None, []),
    ({"output": Output(kind="json")}, MODEL, {"responseMimeType": "application/json"}, []),
    (
        {"output": Output(kind="json_schema", schema=SCHEMA, name="x", strict=True)},
        MODEL,
        {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
        [],
    ),
    ({"modalities": ("text",)}, MODEL, None, []),
    ({"modalities": ("text", "image")}, MODEL, {"responseModalities": ["TEXT", "IMAGE"]}, []),
    ({"modalities": ("text", "audio")}, MODEL, {"responseModalities": ["AUDIO"]}, []),
    ({"reasoning": Reasoning(effort="low")}, MODEL, {"thinkingConfig": {"thinkingLevel": "LOW"}}, []),
    (
        {"reasoning": Reasoning(effort="low", summary="auto")},
        MODEL,
        {"thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True}},
        [],
    ),
    ({"reasoning": Reasoning(effort="medium")}, "gemini-2.5-pro", {"thinkingConfig": {"thinkingBudget": 8192}}, []),
    ({"reasoning": Reasoning(effort="none")}, "gemini-2.5-flash", {"thinkingConfig": {"thinkingBudget": 0}}, []),
    ({"reasoning": Reasoning(effort="none")}, "gemini-2.5-pro", {"thinkingConfig": {"thinkingBudget": 128}}, []),
    (
        {"reasoning": Reasoning(enabled=False)},
        "gemini-3-flash-preview",
        {"thinkingConfig": {"thinkingLevel": "MINIMAL"}},
        [],
    ),
    (
        {"reasoning": Reasoning(enabled=True, budget=2000, show=True)},
        MODEL,
        {"thinkingConfig": {"thinkingBudget": 2000, "includeThoughts": True}},
        [],
    ),
    (
        {"reasoning": Reasoning(enabled=True, budget=2000, effort="high")},
        MODEL,
        {"thinkingConfig": {"thinkingLevel": "HIGH"}},
        [],
    ),
    ({"reasoning": Reasoning(enabled=True)}, "gemini-2.5-pro", {"thinkingConfig": {"thinkingBudget": -1}}, []),
]


def test_safety_in_googles_own_words_is_said_as_it_is() -> None:
    safety = [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}]
    body, dropped = rendered(foreign(safety=safety), MODEL)
    assert (body["safetySettings"], dropped) == (safety, [])


@pytest.mark.parametrize(("fields", "model", "expected", "lost"), FIELDS, ids=range(len(FIELDS)))
def test_a_setting_is_said(fields, model, expected, lost):
    body, dropped = rendered(foreign(**fields), model)
    assert body.get("generationConfig") == expected
    assert dropped == lost


@pytest.mark.parametrize(
    ("tier", "said", "lost"), [("flex", "flex", []), ("auto", None, []), ("scale", None, ["service_tier"])]
)
def test_a_service_tier_is_said_where_google_has_it(tier, said, lost):
    body, dropped = rendered(foreign(service_tier=tier))
    assert body.get("serviceTier") == said
    assert dropped == lost


def test_anthropic_asks_to_see_thoughts():
    request = Request(
        dialect="messages",
        model="claude",
        messages=(user(Text(text="hi")),),
        reasoning=Reasoning(enabled=True, budget=1024),
    )
    body, _ = rendered(request, "gemini-2.5-pro")
    assert body["generationConfig"] == {"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True}}


def test_tools_are_said_with_all_of_their_schema():
    tools = (
        Tool(name="f", description="does", parameters=SCHEMA),
        Tool(name="g", description=""),
    )
    body, dropped = rendered(foreign(tools=tools))
    assert body["tools"] == [
        {"functionDeclarations": [{"name": "f", "description": "does", "parametersJsonSchema": SCHEMA}, {"name": "g"}]},
    ]
    assert dropped == []


def test_google_runs_its_own_tools_where_no_function_is_beside_them():
    tools = (Tool(name="web_search", kind="server"), Tool(name="web_fetch", kind="server"))
    body, dropped = rendered(foreign(tools=tools))
    assert body["tools"] == [{"googleSearch": {}}, {"urlContext": {}}]
    assert dropped == []
    body, dropped = rendered(foreign(tools=(Tool(name="f"), *tools)))
    assert body["tools"] == [{"functionDeclarations": [{"name": "f"}]}]
    assert dropped == ["server_tool"]


def test_a_model_that_knows_the_subset_alone_gets_it_and_what_it_lacks_is_named():
    body, dropped = rendered(foreign(tools=(Tool(name="f", parameters=SCHEMA),)), quirks=frozenset(["schema_subset"]))
    assert body["tools"][0]["functionDeclarations"][0]["parameters"] == {
        "type": "OBJECT",
        "properties": {
            "pet": {"type": "OBJECT", "properties": {"name": {"type": "STRING"}}},
            "age": {"type": "INTEGER", "nullable": True},
            "kind": {"type": "STRING", "enum": ["cat"]},
            "tags": {"type": "ARRAY", "items": {}},
            "more": {"type": "STRING", "nullable": True},
            "all": {"type": "OBJECT", "properties": {"x": {"type": "NUMBER"}}, "required": ["x"]},
        },
        "required": ["pet"],
    }
    assert dropped == ["schema_keywords"]


@pytest.mark.parametrize(
    "tool",
    [Tool(name="computer", kind="server"), Tool(name="file_search", kind="server")],
    ids=["computer", "file_search"],
)
def test_a_tool_that_google_lacks_is_refused(tool):
    with pytest.raises(InvalidRequest, match=tool.name):
        rendered(foreign(tools=(tool,)))


CHOICES: list[tuple[ToolChoice, dict[str, Any]]] = [
    (ToolChoice(mode="auto"), {"mode": "AUTO"}),
    (ToolChoice(mode="none"), {"mode": "NONE"}),
    (ToolChoice(mode="required"), {"mode": "ANY"}),
    (ToolChoice(mode="tool", name="f"), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    (ToolChoice(mode="allowed", names=("f", "g"), required=True), {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}),
    (ToolChoice(mode="allowed", names=("f", "g")), {"mode": "VALIDATED", "allowedFunctionNames": ["f", "g"]}),
]


@pytest.mark.parametrize(("choice", "expected"), CHOICES, ids=range(len(CHOICES)))
def test_a_tool_choice_is_said(choice, expected):
    body, dropped = rendered(foreign(tools=(Tool(name="f"),), tool_choice=choice))
    assert body["toolConfig"] == {"functionCallingConfig": expected}
    assert dropped == []


def test_a_choice_without_tools_is_not_said():
    body, _ = rendered(foreign(tool_choice=ToolChoice(mode="none")))
    assert "toolConfig" not in body


def test_a_ban_on_parallel_calls_and_strictness_are_noted():
    _, dropped = rendered(foreign(tools=(Tool(name="f", strict=True),), parallel_tools=False))
    assert dropped == ["parallel_tools", "tool_strict"]
