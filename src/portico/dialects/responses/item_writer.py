"""The items of a response, told as its stream tells of them: added, filled piece by piece, done.

A message stays open while texts follow one another, or while one of its texts does; any other kind of item ends it.
"""

from typing import Any

import msgspec

from portico.dialects.crossing import Given
from portico.dialects.responses import client_tools
from portico.dialects.responses.citations import write_annotation
from portico.dialects.responses.content import Object
from portico.dialects.responses.output import (
    call_item,
    call_prefix,
    image_item,
    message_item,
    reasoning_item,
    server_item,
    server_prefix,
    signature_item,
    token_logprobs,
)
from portico.ir import Citation, Image, Part, Refusal, Thinking, ToolCall, ToolResult
from portico.types import Dialect

_encode = msgspec.json.encode


class OpenMessage:
    """A message item that is not yet done: its contents, and how many of them still grow."""

    def __init__(self, item_id: str, at: int) -> None:
        self.id = item_id
        self.at = at
        self.content: list[Object] = []
        self.open = 0


class Piece:
    """A part of the answer on its way. `message` is where a text is, `at` the index of any other part's item."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.item_id = ""
        self.at = -1
        self.message: OpenMessage | None = None
        self.content = 0
        self.text: list[str] = []
        self.annotations: list[Object] = []
        self.cited: list[Citation] = []
        self.logprobs: list[Any] = []
        self.opaque = ""
        self.head = b""
        self.ended = False


class ItemWriter:
    """Tells of the items of one response. `maker` is the dialect that the frame under way is of."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.maker: Dialect = "responses"
        self.sequence = 0
        self.items = 0
        self.output: dict[int, Object] = {}
        self.message: OpenMessage | None = None
        self.waiting: list[OpenMessage] = []
        self.servers: dict[str, Piece] = {}
        self.refused = False
        self._calls: set[str] = set()

    def say(self, kind: str, members: Object, out: list[bytes]) -> None:
        """Write an event with the next number."""
        value = {"type": kind, "sequence_number": self.sequence, **members}
        self.sequence += 1
        out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(value)))

    def add(self, item: Object, out: list[bytes]) -> int:
        """Tell that an item begins; returns its index in the output."""
        at = self.items
        self.items += 1
        self.say("response.output_item.added", {"output_index": at, "item": item}, out)
        return at

    def done(self, at: int, item: Object, out: list[bytes]) -> None:
        """Tell of an item as a whole, which ends it."""
        self.output[at] = item
        self.say("response.output_item.done", {"output_index": at, "item": item}, out)

    # Texts

    def _open_text(self, piece: Piece, out: list[bytes]) -> None:
        """Begin a text: in the message that is open, or in a new one."""
        message = self.message
        if message is None:
            message = self.message = OpenMessage(self.given.new_id("msg_"), self.items)
            self.waiting.append(message)
            self.add(message_item(message.id, [], "in_progress"), out)
        message.open += 1
        piece.message = message
        piece.content = len(message.content)
        refusal = isinstance(piece.part, Refusal)
        if refusal:
            self.refused = True
            part: Object = {"type": "refusal", "refusal": ""}
        else:
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        message.content.append(part)
        place = {"item_id": message.id, "output_index": message.at, "content_index": piece.content}
        self.say("response.content_part.added", {**place, "part": part}, out)
        kind = b"response.refusal.delta" if refusal else b"response.output_text.delta"
        # The delta events of this text differ in their ends alone.
        piece.head = delta_head(kind, message, piece.content)

    def text(self, piece: Piece, text: str, logprobs: Any, out: list[bytes]) -> None:
        """Tell more of a text or a refusal; its log probabilities are those of a Chat completion."""
        if piece.message is None:
            self._open_text(piece, out)
        piece.text.append(text)
        tokens = b"[]"
        if logprobs is not None:
            found = token_logprobs(logprobs)
            piece.logprobs += found
            tokens = _encode(found)
        end = b'"logprobs":%b,' % tokens if type(piece.part) is not Refusal else b""
        out.append(b'%b%b"delta":%b,"sequence_number":%d}\n\n' % (piece.head, end, _encode(text), self.sequence))
        self.sequence += 1

    def cite(self, piece: Piece, citation: Citation, out: list[bytes]) -> None:
        """Tell what a text rests on; what is about all of it waits for its end."""
        if piece.message is None:
            self._open_text(piece, out)
        if citation.end is None:
            # It is about the whole of a text, which is not told yet.
            piece.cited.append(citation)
        else:
            self._annotate(piece, citation, out)

    def _annotate(self, piece: Piece, citation: Citation, out: list[bytes]) -> None:
        message = piece.message
        assert message is not None
        annotation = write_annotation(citation, length=sum(map(len, piece.text)))
        value = {
            "item_id": message.id,
            "output_index": message.at,
            "content_index": piece.content,
            "annotation_index": len(piece.annotations),
            "annotation": annotation,
        }
        piece.annotations.append(annotation)
        self.say("response.output_text.annotation.added", value, out)

    def text_done(self, piece: Piece, out: list[bytes]) -> None:
        """Say a text again as a whole, and its message where nothing of that grows any more."""
        message = piece.message
        assert message is not None
        text = "".join(piece.text)
        for citation in piece.cited:
            self._annotate(piece, citation, out)
        piece.head = b""
        place = {"item_id": message.id, "output_index": message.at, "content_index": piece.content}
        if isinstance(piece.part, Refusal):
            part: Object = {"type": "refusal", "refusal": text}
            self.say("response.refusal.done", {**place, "refusal": text}, out)
        else:
            part = {
                "type": "output_text",
                "text": text,
                "annotations": piece.annotations,
                "logprobs": piece.logprobs,
            }
            self.say("response.output_text.done", {**place, "text": text, "logprobs": piece.logprobs}, out)
        message.content[piece.content] = part
        self.say("response.content_part.done", {**place, "part": part}, out)
        message.open -= 1
        if message is not self.message:
            self._close_waiting(out)

    def _turn(self, out: list[bytes]) -> None:
        """Another kind of item begins: texts to come are another message."""
        self.message = None
        self._close_waiting(out)

    def _close_waiting(self, out: list[bytes]) -> None:
        for message in [each for each in self.waiting if not each.open and each is not self.message]:
            self.waiting.remove(message)
            self.done(message.at, message_item(message.id, message.content), out)

    def close(self, out: list[bytes]) -> None:
        """End the last message; every text has ended."""
        self._turn(out)
        assert not self.waiting, "every text has ended"

    # Thoughts

    def _open_thought(self, piece: Piece, out: list[bytes]) -> None:
        self._turn(out)
        piece.item_id = self.given.new_id("rs_")
        piece.at = self.add({"id": piece.item_id, "type": "reasoning", "summary": []}, out)

    def thought(self, piece: Piece, text: str, out: list[bytes]) -> None:
        """Tell more of a thought, as the summary of its item."""
        if piece.at < 0:
            self._open_thought(piece, out)
        place = {"item_id": piece.item_id, "output_index": piece.at, "summary_index": 0}
        if not piece.text:
            part = {"type": "summary_text", "text": ""}
            self.say("response.reasoning_summary_part.added", {**place, "part": part}, out)
        piece.text.append(text)
        self.say("response.reasoning_summary_text.delta", {**place, "delta": text}, out)

    def thought_done(self, piece: Piece, thought: Thinking, out: list[bytes]) -> None:
        """Say a thought again as a whole, with what seals it; one that holds nothing is not told of."""
        text = "".join(piece.text)
        if not text and not piece.opaque:
            return
        if piece.at < 0:
            self._open_thought(piece, out)
        if text:
            place = {"item_id": piece.item_id, "output_index": piece.at, "summary_index": 0}
            self.say("response.reasoning_summary_text.done", {**place, "text": text}, out)
            part = {"type": "summary_text", "text": text}
            self.say("response.reasoning_summary_part.done", {**place, "part": part}, out)
        whole = msgspec.structs.replace(thought, text=text, opaque=piece.opaque or None)
        self.done(piece.at, reasoning_item(whole, piece.item_id, self.maker), out)

    # Calls

    def call(self, piece: Piece, call: ToolCall, out: list[bytes]) -> None:
        """Begin a call; of one that the caller knows as an item of its own, nothing is told before its end."""
        self._turn(out)
        if not call.id or call.id in self._calls:
            # The SDK tells calls apart by their ids.
            call = piece.part = msgspec.structs.replace(call, id=self.given.new_id("call_"))
        self._calls.add(call.id)
        if call.signature is not None:
            item = signature_item(call, self.given)
            self.done(self.add({**item, "encrypted_content": None}, out), item, out)
        if call.kind == "server":
            piece.item_id = self.given.new_id(server_prefix(call))
            piece.at = self.add(server_item(call, piece.item_id, None, "", "in_progress"), out)
            self.servers[call.id] = piece
        elif call.server_type is None:
            piece.item_id = self.given.new_id(call_prefix(call))
            piece.at = self.add(call_item(call, piece.item_id, "", "in_progress"), out)
        if call.arguments and call.arguments != "{}":
            self.argue(piece, call.arguments, out)

    def argue(self, piece: Piece, text: str, out: list[bytes]) -> None:
        """Tell more of what a call is given."""
        piece.text.append(text)
        call = piece.part
        assert isinstance(call, ToolCall)
        if call.kind == "server" or piece.at < 0:
            return
        kind = "custom_tool_call_input" if call.kind == "custom" else "function_call_arguments"
        self.say(f"response.{kind}.delta", {"item_id": piece.item_id, "output_index": piece.at, "delta": text}, out)

    def _known_done(self, piece: Piece, call: ToolCall, out: list[bytes]) -> bool:
        """Tell of a call of a tool that the caller knows by an item of its own, and that is told whole.

        Returns False where it is none such after all: it is told as a function's.
        """
        arguments = "".join(piece.text)
        self._turn(out)
        item = client_tools.call_item(call, self.given.new_id(client_tools.item_prefix(call)), arguments)
        if item is not None:
            piece.at = self.add({**item, "status": "in_progress"}, out)
            self.done(piece.at, item, out)
            return True
        piece.item_id = self.given.new_id(call_prefix(call))
        piece.at = self.add(call_item(call, piece.item_id, "", "in_progress"), out)
        piece.text = []
        if arguments:
            self.argue(piece, arguments, out)
        return False

    def call_done(self, piece: Piece, call: ToolCall, out: list[bytes]) -> None:
        """Say a call again as a whole."""
        if piece.at < 0 and self._known_done(piece, call, out):
            return
        place = {"item_id": piece.item_id, "output_index": piece.at}
        if call.kind == "custom":
            text = "".join(piece.text)
            self.say("response.custom_tool_call_input.done", {**place, "input": text}, out)
        else:
            if not piece.text:
                self.argue(piece, "{}", out)
            text = "".join(piece.text)
            value = {**place, "name": call.name, "arguments": text}
            self.say("response.function_call_arguments.done", value, out)
        self.done(piece.at, call_item(call, piece.item_id, text), out)

    def server_done(self, piece: Piece, result: ToolResult | None, out: list[bytes]) -> None:
        """Tell what a tool of the provider came to; None where that is not known."""
        call = piece.part
        assert isinstance(call, ToolCall)
        del self.servers[call.id]
        self.done(piece.at, server_item(call, piece.item_id, result, "".join(piece.text)), out)

    def image(self, piece: Piece, image: Image, out: list[bytes]) -> None:
        """Tell of an image, whole."""
        self._turn(out)
        item = image_item(image, self.given.new_id("ig_"))
        at = self.add({**item, "status": "in_progress", "result": None}, out)
        self.done(at, item, out)
        piece.at = at


def delta_head(kind: bytes, message: OpenMessage, content: int) -> bytes:
    """Return how each event begins that adds to a content of a message."""
    return b'event: %b\ndata: {"type":"%b","item_id":%b,"output_index":%d,"content_index":%d,' % (
        kind,
        kind,
        _encode(message.id),
        message.at,
        content,
    )
