"""Google's own client takes what is written for a Gemini caller, whole and streamed, whatever dialect it came from."""

import json
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types
from tests.dialects.gemini.given import encoded, foreign, given

from portico.dialects.gemini import Encoder, parse_request, render_reply
from portico.errors import UpstreamError
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Choice,
    Citation,
    CitationDelta,
    Ended,
    Finished,
    Frame,
    Image,
    Part,
    PartEnded,
    PartStarted,
    Reply,
    Request,
    Source,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Used,
)
from portico.types import Usage

PARTS: tuple[Part, ...] = (
    Thinking(text="Let me see.", opaque="seal", maker="messages"),
    Text(text="Héllo", citations=(Citation(kind="url", url="http://a", title="A", start=1, end=3),)),
    ToolCall(id="toolu_1", name="f", arguments='{"x":1}'),
    ToolCall(id="toolu_2", name="g"),
)
USAGE = Usage(input=10, cache_read=5, output=7, reasoning=3, input_audio=2, output_image=4)


def client(body: bytes, seen: list[Any] | None = None, kind: str = "application/json") -> genai.Client:
    def answer(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(json.loads(request.content))
        return httpx.Response(200, content=body, headers={"content-type": kind})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    options = types.HttpOptions(httpx_client=http, base_url="http://gateway")
    return genai.Client(api_key="k", http_options=options)


def whole(choice: Choice, usage: Usage | None = USAGE) -> bytes:
    reply = Reply(dialect="messages", id="msg_1", model="claude", choices=(choice,), usage=usage)
    return render_reply(reply, foreign(), given())


def frames(*events: AnyEvent) -> list[Frame]:
    return [Frame(dialect="messages", events=(event,)) for event in events]


STREAM = frames(
    Started(id="msg_1", model="claude"),
    PartStarted(index=0, part=Thinking()),
    ThinkingDelta(index=0, text="Let me "),
    ThinkingDelta(index=0, text="see."),
    ThinkingDelta(index=0, opaque="seal"),
    PartEnded(index=0),
    PartStarted(index=1, part=Text(text="")),
    TextDelta(index=1, text="Hé"),
    TextDelta(index=1, text="llo"),
    CitationDelta(index=1, citation=Citation(kind="url", url="http://a", title="A", start=1, end=3)),
    PartEnded(index=1),
    PartStarted(index=2, part=ToolCall(id="toolu_1", name="f")),
    PartStarted(index=3, part=ToolCall(id="toolu_2", name="g")),
    ArgumentsDelta(index=2, text='{"x"'),
    ArgumentsDelta(index=3, text="{}"),
    ArgumentsDelta(index=2, text=":1}"),
    PartEnded(index=2),
    PartEnded(index=3),
    Finished(finish="tool_calls"),
    Used(usage=USAGE),
    Ended(),
)


def check(texts: str, thoughts: str, calls: list[types.FunctionCall], usage: Any) -> None:
    assert (texts, thoughts) == ("Héllo", "Let me see.")
    assert [(call.id, call.name, call.args) for call in calls] == [("toolu_1", "f", {"x": 1}), ("toolu_2", "g", {})]
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count) == (17, 11, 3)
    assert (usage.cached_content_token_count, usage.total_token_count) == (5, 31)


def parts_of(response: types.GenerateContentResponse) -> list[types.Part]:
    assert response.candidates
    content = response.candidates[0].content
    assert content is not None
    return content.parts or []


def test_a_whole_reply_is_taken():
    with client(whole(Choice(parts=PARTS, finish="tool_calls"))) as google:
        response = google.models.generate_content(model="m", contents="hi")
    parts = parts_of(response)
    check(
        "".join(part.text or "" for part in parts if not part.thought),
        "".join(part.text or "" for part in parts if part.thought),
        response.function_calls or [],
        response.usage_metadata,
    )
    assert response.candidates
    assert response.candidates[0].finish_reason is types.FinishReason.STOP
    grounding = response.candidates[0].grounding_metadata
    assert grounding is not None
    assert grounding.grounding_supports
    segment = grounding.grounding_supports[0].segment
    assert segment is not None
    assert (segment.start_index, segment.end_index, segment.part_index, segment.text) == (1, 4, 1, "él")


def test_a_stream_is_taken():
    with client(encoded(STREAM), kind="text/event-stream") as google:
        responses = list(google.models.generate_content_stream(model="m", contents="hi"))
    parts = [part for response in responses for part in parts_of(response)]
    check(
        "".join(part.text or "" for part in parts if not part.thought),
        "".join(part.text or "" for part in parts if part.thought),
        [part.function_call for part in parts if part.function_call],
        responses[-1].usage_metadata,
    )
    assert responses[-1].candidates
    assert responses[-1].candidates[0].finish_reason is types.FinishReason.STOP
    assert responses[-1].candidates[0].grounding_metadata is not None


def test_an_array_holds_what_the_events_hold():
    array = json.loads(encoded(STREAM, array=True))
    assert [types.GenerateContentResponse.model_validate(each) for each in array]
    assert len(array) == encoded(STREAM).count(b"data: ")


@pytest.mark.parametrize(
    "events", [STREAM, frames(Started(), Finished(finish="length"), Ended())], ids=["full", "empty"]
)
def test_a_chat_goes_on_after_a_stream(events):
    seen: list[Any] = []
    with client(encoded(events), seen, "text/event-stream") as google:
        chat = google.chats.create(model="m")
        list(chat.send_message_stream("hi"))
        list(chat.send_message_stream("and?"))
        assert len(chat.get_history(curated=True)) == len(chat.get_history())
    assert seen[1]["contents"][0]["parts"] == [{"text": "hi"}]


def test_what_was_sealed_survives_the_client():
    seen: list[Any] = []
    with client(encoded(STREAM), seen, "text/event-stream") as google:
        chat = google.chats.create(model="m")
        list(chat.send_message_stream("hi"))
        list(chat.send_message_stream("and?"))
    request = parse_request(json.dumps(seen[1]).encode(), model="m", stream=True)
    thoughts = [part for message in request.messages for part in message.parts if isinstance(part, Thinking)]
    assert [(part.opaque, part.maker) for part in thoughts if part.opaque] == [("seal", "messages")]


def test_an_image_and_a_filtered_answer_are_taken():
    picture = Image(source=Source(data="iVBORw0K", media_type="image/png"))
    with client(whole(Choice(parts=(picture,), finish="stop"))) as google:
        part = parts_of(google.models.generate_content(model="m", contents="hi"))[0]
    assert part.inline_data is not None
    assert part.inline_data.mime_type == "image/png"
    with client(whole(Choice(finish="content_filter"))) as google:
        response = google.models.generate_content(model="m", contents="hi")
    assert response.candidates
    assert response.candidates[0].finish_reason is types.FinishReason.SAFETY


@pytest.mark.parametrize("array", [False, True])
def test_a_stream_that_fails_is_not_ended(array):
    encoder = Encoder(foreign(), given(), array=array)
    body = encoder.feed(STREAM[0]) + encoder.feed(STREAM[6]) + encoder.feed(STREAM[7])
    body += encoder.fail(UpstreamError("gone"))
    assert encoder.finish() == b""
    assert encoder.feed(STREAM[8]) == b""
    assert b"finishReason" not in body
    if array:
        assert json.loads(body)[-1]["error"]["message"] == "gone"
    else:
        with client(body, kind="text/event-stream") as google, pytest.raises(errors.APIError, match="gone"):
            list(google.models.generate_content_stream(model="m", contents="hi"))


def test_what_the_client_sends_is_understood():
    seen: list[Any] = []

    def weather(city: str, days: int = 1) -> str:
        """Tell the weather."""
        return city * days

    with client(whole(Choice(parts=(Text(text="ok"),), finish="stop")), seen) as google:
        google.models.generate_content(
            model="m",
            contents=["hi", types.Part.from_bytes(data=b"x", mime_type="image/png")],
            config=types.GenerateContentConfig(
                system_instruction="be brief",
                temperature=0.5,
                tools=[weather],
                tool_config=types.ToolConfig(
                    function_calling_config=types.FunctionCallingConfig(
                        mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["weather"]
                    )
                ),
                thinking_config=types.ThinkingConfig(thinking_budget=100, include_thoughts=True),
                automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            ),
        )
    request: Request = parse_request(json.dumps(seen[0]).encode(), model="m", stream=False)
    assert request.system == (Text(text="be brief"),)
    assert [type(part) for message in request.messages for part in message.parts] == [Text, Image]
    assert request.tools[0].parameters["properties"]["city"] == {"type": "string"}
    assert request.tool_choice is not None
    assert request.tool_choice.name == "weather"
    assert request.reasoning is not None
    assert (request.reasoning.budget, request.reasoning.show) == (100, True)
