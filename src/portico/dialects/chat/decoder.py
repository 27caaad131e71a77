"""Reads the stream of a chat completion: chunks with deltas, then `data: [DONE]`.

Source: platform.openai.com/docs/api-reference/chat/streaming (read 2026-11-20). Others differ, and are read too: text
and thoughts in lists (Mistral), thoughts under two names and as details (OpenRouter), calls without an index, with the
same index each, or whole at once, usage with the last choice or in `x_groq`, no `[DONE]`, an error as a chunk.

A frame's `extra` is the chunk without what its events hold; its hints (`$`) say where each event's value belongs:
`slots` is a list of (event, field of the event, path in the chunk).
"""

from typing import Any

import msgspec

from portico.dialects.chat.answers import parse_finish
from portico.dialects.chat.beside import parse_citation
from portico.dialects.chat.calls import signature_of
from portico.dialects.chat.hints import HINTS, Table
from portico.dialects.chat.media import parse_url
from portico.dialects.chat.plain import Plain
from portico.dialects.chat.progress import Answer, Call, gather
from portico.dialects.chat.thoughts import DETAILS, TEXTS, sealing, text_of
from portico.dialects.chat.watch import read_usage
from portico.dialects.observer import failure
from portico.dialects.tokens import UNREADABLE
from portico.errors import BadUpstreamReply, UpstreamError
from portico.framing import sse
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Audio,
    AudioDelta,
    CitationDelta,
    Ended,
    Failed,
    Finish,
    Finished,
    Frame,
    Image,
    Part,
    PartEnded,
    PartStarted,
    Ping,
    Refusal,
    Source,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Used,
)

Slot = tuple[int, str, tuple[str | int, ...]]

_decoder = msgspec.json.Decoder()
_plain = msgspec.json.Decoder(Plain)
_encode = msgspec.json.encode
_DONE = Frame(dialect="chat", events=(Ended(),), extra={HINTS: {"done": True}})
_CONTENT: tuple[tuple[str | int, ...], ...] = tuple(("choices", at, "delta", "content") for at in range(8))

TEXT_ALONE: Table = {"slots": [(0, "text", _CONTENT[0])]}
"""The hints of a chunk that brings text and nothing else."""


class Decoder:
    """Turns the bytes of a stream into frames, one for each event of the wire; raises only BadUpstreamReply.

    With `own` false the frames are for callers of other dialects, and what only this one knows may be left out.
    """

    def __init__(self, *, own: bool = True) -> None:
        self._own = own
        self._splitter = sse.Splitter()
        self._answers: dict[int, Answer] = {}
        self._started = False
        self._ended = False
        self._failed = False

    def feed(self, chunk: bytes) -> list[Frame]:
        """Take a chunk of the body and return the frames that it completes."""
        return [frame for event in self._splitter.feed(chunk) if (frame := self._frame(event)) is not None]

    def flush(self) -> list[Frame]:
        """Say that the body has come to its end; a stream without `[DONE]` ends properly after every finish reason."""
        rest = self._splitter.flush()
        frames = []
        if rest.strip() and (frame := self._frame(rest)) is not None:
            frames.append(frame)
        if self._ended or self._failed:
            return frames
        answers = self._answers.values()
        if answers and all(answer.finished for answer in answers):
            events: list[AnyEvent] = []
            for answer in answers:
                self._close(answer, events)
            self._ended = True
            frames.append(Frame(dialect="chat", events=(*events, Ended()), extra={HINTS: {"silent": True}}))
        return frames

    def _frame(self, event: bytes) -> Frame | None:
        if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2:
            name, data = b"", event[6:-2]
        else:
            name, data = sse.parse(event)
        if not self._own and self._started and not name and (frame := self._plain(data)) is not None:
            return frame
        if data.startswith(b"[DONE]"):
            self._ended = True
            if self._failed:
                return Frame(dialect="chat", extra=_DONE.extra)
            events: list[AnyEvent] = []
            for answer in self._answers.values():
                self._close(answer, events)
                if not answer.finished:
                    # OpenAI's own spoken answers end without a reason.
                    finish: Finish = "tool_calls" if answer.calls else "stop"
                    events.append(Finished(choice=answer.index, finish=finish))
            if not events:
                return _DONE
            return Frame(dialect="chat", events=(*events, Ended()), extra=_DONE.extra)
        if not data.strip():
            return Frame(dialect="chat", events=(Ping(),)) if b":" in event else None
        try:
            fields = _decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadUpstreamReply("an event of the provider's stream is not JSON") from error
        if type(fields) is not dict:
            raise BadUpstreamReply("an event of the provider's stream is not a JSON object")
        return (self._text(fields) if self._started and not name else None) or self._chunk(fields, name, data)

    def _plain(self, data: bytes) -> Frame | None:
        """Read a chunk that only goes on with what is open, without what only this dialect knows; None for another."""
        try:
            chunk = _plain.decode(data)
        except UNREADABLE:
            return None
        if len(chunk.choices) != 1:
            return None
        choice = chunk.choices[0]
        delta = choice.delta
        answer = self._answers.get(choice.index)
        if answer is None:
            return None
        content, calls, thought = delta.content, delta.tool_calls, delta.reasoning_content
        event: AnyEvent
        if content:
            if calls or thought or answer.kind != "text":
                return None
            event = TextDelta(choice=answer.index, index=answer.open, text=content)
        elif thought:
            if calls or answer.kind != "thinking":
                return None
            event = ThinkingDelta(choice=answer.index, index=answer.open, text=thought)
        elif calls:
            written = calls[0].function.arguments
            call = answer.calls.get(calls[0].index)
            if len(calls) != 1 or call is None or not written:
                return None
            answer.last = call
            call.arguments.append(written)
            event = ArgumentsDelta(choice=answer.index, index=call.part, text=written)
        else:
            return None
        return Frame(dialect="chat", events=(event,))

    def _text(self, fields: Table) -> Frame | None:
        """Read a chunk that brings more of the text that is open, and nothing else: most chunks are that."""
        choices = fields.get("choices")
        if type(choices) is not list or len(choices) != 1 or type(choice := choices[0]) is not dict:
            return None
        delta = choice.get("delta")
        if type(delta) is not dict or not delta or len(delta) - ("role" in delta) != 1:
            return None
        content = delta.get("content")
        answer = self._answers.get(choice["index"]) if type(choice.get("index")) is int else None
        if (
            not content
            or type(content) is not str
            or answer is None
            or answer.kind != "text"
            or choice.get("finish_reason")
            or choice.get("logprobs") is not None
            or fields.get("usage")
            or "x_groq" in fields
            or "error" in fields
        ):
            return None
        del delta["content"]
        fields[HINTS] = TEXT_ALONE
        event = TextDelta(choice=answer.index, index=answer.open, text=content)
        return Frame(dialect="chat", events=(event,), extra=fields)

    def _chunk(self, fields: Table, name: bytes, data: bytes) -> Frame:
        events: list[AnyEvent] = []
        slots: list[Slot] = []
        if not self._started:
            self._start(fields, events)
        choices = fields.get("choices")
        if type(choices) is list:
            for at, choice in enumerate(choices):
                if type(choice) is dict:
                    self._choice(choice, at, events, slots)
        if fields.get("usage") or "x_groq" in fields:
            usage = read_usage(data)
            if usage is not None:
                events.append(Used(usage=usage))
        if "error" in fields or name == b"error":
            told = failure(_encode(fields.get("error", fields)))
            if told is not None:
                self._failed = True
                events.append(Failed(error=UpstreamError(told)))
        if HINTS in fields:
            del fields[HINTS]
        if slots or name:
            hints: Table = {"slots": slots}
            if name:
                hints["name"] = name.decode("utf-8", "replace")
            fields[HINTS] = hints
        return Frame(dialect="chat", events=tuple(events), extra=fields)

    def _start(self, fields: Table, events: list[AnyEvent]) -> None:
        # Azure's first chunk tells of the prompt's filters and names no answer.
        if not fields.get("choices") and not fields.get("id"):
            return
        self._started = True
        wire_id, model, created = fields.get("id"), fields.get("model"), fields.get("created")
        events.append(
            Started(
                id=wire_id if type(wire_id) is str else "",
                model=model if type(model) is str else "",
                created=created if type(created) is int else None,
            )
        )

    def _choice(self, choice: Table, at: int, events: list[AnyEvent], slots: list[Slot]) -> None:
        index = choice.get("index", 0)
        if type(index) is not int or index < 0:
            index = 0
        answer = self._answers.get(index)
        if answer is None:
            answer = self._answers[index] = Answer(index)
        delta = choice.get("delta")
        if type(delta) is dict and delta:
            self._delta(answer, delta, at, events, slots)
        logprobs = choice.get("logprobs")
        if type(logprobs) is dict:
            self._logprobs(answer, choice, logprobs, at, events, slots)
        reason = choice.get("finish_reason")
        if reason:
            finish = parse_finish(reason, calls=bool(answer.calls), sequence=choice.get("stop_reason"))
            if finish is not None:
                self._close(answer, events)
                answer.finished = True
                del choice["finish_reason"]
                slots.append((len(events), "finish_raw", ("choices", at, "finish_reason")))
                sequence = choice["stop_reason"] if finish == "stop_sequence" else None
                events.append(Finished(choice=index, finish=finish, finish_raw=reason, stop_sequence=sequence))

    def _delta(self, answer: Answer, delta: Table, at: int, events: list[AnyEvent], slots: list[Slot]) -> None:
        content = delta.get("content")
        others = len(delta) - ("content" in delta) - ("role" in delta)
        if others:
            self._thoughts(answer, delta, at, events, slots)
        if content:
            if type(content) is str:
                if answer.kind != "text":
                    self._open(answer, "text", Text(text=""), events)
                del delta["content"]
                path = _CONTENT[at] if at < 8 else ("choices", at, "delta", "content")
                slots.append((len(events), "text", path))
                events.append(TextDelta(choice=answer.index, index=answer.open, text=content))
            elif type(content) is list:
                for place, item in enumerate(content):
                    self._item(answer, item, ("choices", at, "delta", "content", place), events, slots)
        if not others:
            return
        refusal = delta.get("refusal")
        if refusal and type(refusal) is str:
            if answer.kind != "refusal":
                self._open(answer, "refusal", Refusal(text=""), events)
            del delta["refusal"]
            slots.append((len(events), "text", ("choices", at, "delta", "refusal")))
            events.append(TextDelta(choice=answer.index, index=answer.open, text=refusal))
        audio = delta.get("audio")
        if type(audio) is dict:
            self._audio(answer, audio, at, events, slots)
        images = delta.get("images")
        if type(images) is list:
            for item in images:
                self._image(answer, item, events)
        annotations = delta.get("annotations")
        if type(annotations) is list and annotations:
            self._annotations(answer, annotations, events)
        calls = delta.get("tool_calls")
        if type(calls) is list:
            for place, item in enumerate(calls):
                if type(item) is dict:
                    self._call(answer, item, ("choices", at, "delta", "tool_calls", place), events, slots)
        legacy = delta.get("function_call")
        if type(legacy) is dict and not calls:
            item = {"index": 0, "function": legacy}
            self._call(answer, item, ("choices", at, "delta", "function_call"), events, slots)

    # Parts

    def _open(self, answer: Answer, kind: str, part: Part, events: list[AnyEvent]) -> None:
        """Begin a text, a thought, a refusal or sound; what was open has ended, calls that are whole too."""
        self._close(answer, events, whole=True)
        answer.open = answer.parts
        answer.kind = kind
        answer.parts += 1
        events.append(PartStarted(choice=answer.index, index=answer.open, part=part))

    def _close(self, answer: Answer, events: list[AnyEvent], *, whole: bool = False) -> None:
        """End what is open; of calls only those whose arguments are whole, if `whole`."""
        if answer.open >= 0:
            if answer.details:
                opaque = sealing(answer.details)
                if opaque is not None:
                    events.append(ThinkingDelta(choice=answer.index, index=answer.open, opaque=opaque))
                answer.details = []
            events.append(PartEnded(choice=answer.index, index=answer.open))
            answer.open = -1
            answer.kind = ""
        for call in answer.calls.values():
            if not call.ended and (not whole or call.whole()):
                call.ended = True
                events.append(PartEnded(choice=answer.index, index=call.part))

    def _thoughts(self, answer: Answer, delta: Table, at: int, events: list[AnyEvent], slots: list[Slot]) -> None:
        details = delta.get(DETAILS)
        listed = [item for item in details if type(item) is dict] if type(details) is list else []
        text = ""
        names: list[str] = []
        for name in TEXTS:
            value = delta.get(name)
            if value and type(value) is str and (not names or value == text):
                text = value
                names.append(name)
        if not names:
            if not listed:
                return
            text = "".join([text_of(item) for item in listed])
        if answer.kind != "thinking":
            self._open(answer, "thinking", Thinking(text="", maker="chat" if listed else None), events)
        for item in listed:
            gather(answer.details, item)
        if not text:
            return
        for name in names:
            del delta[name]
            slots.append((len(events), "text", ("choices", at, "delta", name)))
        for place, item in enumerate(listed):
            # The same text again: told once, by the event.
            for name in ("text", "summary"):
                if item.get(name) == text:
                    del item[name]
                    slots.append((len(events), "text", ("choices", at, "delta", DETAILS, place, name)))
        events.append(ThinkingDelta(choice=answer.index, index=answer.open, text=text))

    def _item(
        self, answer: Answer, item: Any, path: tuple[str | int, ...], events: list[AnyEvent], slots: list[Slot]
    ) -> None:
        """Read one part of a content that is a list."""
        if type(item) is not dict:
            return
        kind = item.get("type")
        text = item.get("text")
        if kind == "text" and type(text) is str:
            if not text:
                return
            if answer.kind != "text":
                self._open(answer, "text", Text(text=""), events)
            del item["text"]
            slots.append((len(events), "text", (*path, "text")))
            events.append(TextDelta(choice=answer.index, index=answer.open, text=text))
        elif kind == "thinking":
            inner = item.get("thinking")
            pieces: list[tuple[Table, str, tuple[str | int, ...]]] = []
            if type(inner) is str:
                pieces = [(item, "thinking", (*path, "thinking"))]
            elif type(inner) is list:
                pieces = [
                    (piece, "text", (*path, "thinking", place, "text"))
                    for place, piece in enumerate(inner)
                    if type(piece) is dict
                ]
            for holder, name, where in pieces:
                text = holder.get(name)
                if text and type(text) is str:
                    if answer.kind != "thinking":
                        self._open(answer, "thinking", Thinking(text=""), events)
                    del holder[name]
                    slots.append((len(events), "text", where))
                    events.append(ThinkingDelta(choice=answer.index, index=answer.open, text=text))
        elif kind == "image_url":
            self._image(answer, item, events)

    def _audio(self, answer: Answer, audio: Table, at: int, events: list[AnyEvent], slots: list[Slot]) -> None:
        data, transcript = audio.get("data"), audio.get("transcript")
        wire_id = audio.get("id")
        if not (data or transcript or wire_id):
            return
        if answer.kind != "audio":
            part = Audio(source=Source(data=""), id=wire_id if type(wire_id) is str else None)
            self._open(answer, "audio", part, events)
        for name, value in (("data", data), ("transcript", transcript)):
            if value and type(value) is str:
                del audio[name]
                slots.append((len(events), name, ("choices", at, "delta", "audio", name)))
        if slots and slots[-1][0] == len(events):
            events.append(
                AudioDelta(
                    choice=answer.index,
                    index=answer.open,
                    data=data if type(data) is str else "",
                    transcript=transcript if type(transcript) is str else "",
                )
            )

    def _image(self, answer: Answer, item: Any, events: list[AnyEvent]) -> None:
        inner = item.get("image_url") if type(item) is dict else None
        url = inner.get("url") if type(inner) is dict else inner
        if type(url) is not str:
            return
        self._open(answer, "image", Image(source=parse_url(url)), events)
        self._close(answer, events, whole=True)

    def _annotations(self, answer: Answer, annotations: list[Any], events: list[AnyEvent]) -> None:
        citations = [found for item in annotations if (found := parse_citation(item)) is not None]
        if not citations:
            return
        if answer.kind != "text":
            self._open(answer, "text", Text(text=""), events)
        events += [CitationDelta(choice=answer.index, index=answer.open, citation=found) for found in citations]

    def _call(
        self, answer: Answer, item: Table, path: tuple[str | int, ...], events: list[AnyEvent], slots: list[Slot]
    ) -> None:
        kind = "custom" if type(item.get("custom")) is dict and "function" not in item else "function"
        inner = item.get(kind)
        if type(inner) is not dict:
            inner = {}
        name, call_id, index = inner.get("name"), item.get("id"), item.get("index")
        name = name if type(name) is str else ""
        call_id = call_id if type(call_id) is str else ""
        if type(index) is not int:
            # Without an index: a name begins a call, what has none goes on with the last.
            index = len(answer.calls) if name or answer.last is None else -1
        call = answer.last if index == -1 else answer.calls.get(index)
        if call is not None and name and call_id and call.id and call_id != call.id:
            # Another call at the same index, as some number every call 0.
            index, call = max(answer.calls) + 1, None
        if call is None:
            self._close(answer, events, whole=True)
            call = Call(answer.parts, call_id)
            answer.parts += 1
            answer.calls[index] = call
            part = ToolCall(
                id=call_id,
                name=name,
                kind="custom" if kind == "custom" else "function",
                signature=signature_of(item.get("extra_content")),
            )
            events.append(PartStarted(choice=answer.index, index=call.part, part=part))
        answer.last = call
        field = "arguments" if kind == "function" else "input"
        written = inner.get(field)
        if written and type(written) is not str:
            # An object where text belongs; it stays in the chunk as it is.
            events.append(ArgumentsDelta(choice=answer.index, index=call.part, text=_encode(written).decode()))
            call.arguments.append(_encode(written).decode())
        elif written:
            del inner[field]
            where = (*path, field) if path[-1] == "function_call" else (*path, kind, field)
            slots.append((len(events), "text", where))
            events.append(ArgumentsDelta(choice=answer.index, index=call.part, text=written))
            call.arguments.append(written)

    def _logprobs(
        self, answer: Answer, choice: Table, logprobs: Table, at: int, events: list[AnyEvent], slots: list[Slot]
    ) -> None:
        """Put log probabilities where their text is: into the last delta of text in this chunk."""
        for place in range(len(events) - 1, -1, -1):
            event = events[place]
            if type(event) is TextDelta and event.choice == answer.index:
                events[place] = msgspec.structs.replace(event, logprobs=logprobs)
                del choice["logprobs"]
                slots.append((place, "logprobs", ("choices", at, "logprobs")))
                return
