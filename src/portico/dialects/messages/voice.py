"""Another dialect's stream, said in Anthropic's grammar: `message_start`, blocks, `message_delta`, `message_stop`."""

import msgspec

from portico.dialects.messages.blocks import Block
from portico.dialects.messages.ids import legal
from portico.dialects.messages.reply import foreign_blocks, foreign_citation, reason_of, render_usage, served_name
from portico.dialects.messages.watch import stream_error
from portico.dialects.seal import seal, seal_call
from portico.dialects.voice import Item, Voice
from portico.errors import PorticoError
from portico.framing import sse
from portico.ir import Citation, Part, Thinking, ToolCall
from portico.types import Usage

_encode = msgspec.json.encode
_TEXT_DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":'
)
_JSON_DELTA = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"input_json_delta","partial_json":'
)


class Speaker(Voice):
    """Says frames of other dialects to a caller of Anthropic's."""

    def begin(self) -> None:
        """Open the message."""
        message: Block = {
            "id": self.given.new_id("msg_"),
            "type": "message",
            "role": "assistant",
            "model": self.model or self.request.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": render_usage(self.usage or Usage()),
        }
        self._say("message_start", {"type": "message_start", "message": message})

    def text(self, item: Item, text: str) -> None:
        """Say text."""
        if not item.head:
            if item.block < 0:
                self._open(item, {"type": "text", "text": ""})
            item.head = _TEXT_DELTA % item.block
        self.out.append(b"%b%b}}\n\n" % (item.head, _encode(text)))

    def thought(self, item: Item, text: str) -> None:
        """Say a thought."""
        if item.block < 0:
            self._open(item, {"type": "thinking", "thinking": "", "signature": ""})
        self._fill_in(item, {"type": "thinking_delta", "thinking": text})

    def sealed(self, item: Item) -> None:
        """Seal the thought, so that it is known again when it comes back."""
        if item.block < 0 and item.opaque is None:
            return
        if item.block < 0:
            self._open(item, {"type": "thinking", "thinking": "", "signature": ""})
        assert type(item.part) is Thinking
        thought = msgspec.structs.replace(item.part, opaque=item.opaque)
        self._fill_in(item, {"type": "signature_delta", "signature": seal(thought, self.maker)})

    def call(self, item: Item, call: ToolCall) -> None:
        """Open a tool call, after the signature that its maker wants back with it."""
        call_id = legal(call.id or self.given.new_id("toolu_"))
        if call.signature is not None:
            sealed = seal_call(msgspec.structs.replace(call, id=call_id))
            self._whole({"type": "redacted_thinking", "data": sealed})
        server = call.kind == "server"
        name = served_name(call) if server else call.name
        kind = "server_tool_use" if server else "tool_use"
        self._open(item, {"type": kind, "id": call_id, "name": name, "input": {}})
        if call.kind == "custom":
            self._fill_in(item, {"type": "input_json_delta", "partial_json": '{"input":"'})
        if call.arguments and call.arguments != "{}":
            self.arguments(item, call.arguments)

    def arguments(self, item: Item, text: str) -> None:
        """Say more of a call's arguments; free text stands in an object."""
        if _free(item):
            text = _encode(text).decode()[1:-1]
        if not item.head:
            item.head = _JSON_DELTA % item.block
        self.out.append(b"%b%b}}\n\n" % (item.head, _encode(text)))

    def cite(self, item: Item, citation: Citation) -> None:
        """Say a citation."""
        if item.block < 0:
            self._open(item, {"type": "text", "text": "", "citations": []})
        self._fill_in(item, {"type": "citations_delta", "citation": foreign_citation(citation)})

    def stop(self, item: Item) -> None:
        """Close a block."""
        if _free(item):
            self._fill_in(item, {"type": "input_json_delta", "partial_json": '"}'})
        self._say("content_block_stop", {"type": "content_block_stop", "index": item.block})

    def whole(self, part: Part) -> None:
        """Say a part that does not come in pieces."""
        for block in foreign_blocks(part, self.maker):
            self._whole(block)

    def ping(self) -> None:
        """Give a sign of life."""
        self._say("ping", {"type": "ping"})

    def end(self) -> None:
        """Say why the answer ended and what was used."""
        finished = self.finished
        reason = reason_of(finished.finish) if finished is not None else "end_turn"
        sequence = finished.stop_sequence if finished is not None else None
        # The counts of a `message_delta` name no tier, and no split of what was cached.
        counts = render_usage(self.usage or Usage())
        del counts["service_tier"], counts["cache_creation"]
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        self._say("message_delta", {"type": "message_delta", "delta": delta, "usage": counts})
        self._say("message_stop", {"type": "message_stop"})

    def error(self, error: PorticoError) -> bytes:
        """Write an error as the last event."""
        return stream_error(error, self.given.request_id)

    def _open(self, item: Item, block: Block) -> None:
        item.block = self.blocks
        self.blocks += 1
        start = {"type": "content_block_start", "index": item.block, "content_block": block}
        self._say("content_block_start", start)

    def _fill_in(self, item: Item, delta: Block) -> None:
        value = {"type": "content_block_delta", "index": item.block, "delta": delta}
        self.out.append(b"event: content_block_delta\ndata: %b\n\n" % _encode(value))

    def _whole(self, block: Block) -> None:
        index = self.blocks
        self.blocks += 1
        self._say("content_block_start", {"type": "content_block_start", "index": index, "content_block": block})
        self._say("content_block_stop", {"type": "content_block_stop", "index": index})

    def _say(self, name: str, value: Block) -> None:
        self.out.append(sse.render(_encode(value), name.encode()))


def _free(item: Item) -> bool:
    return type(item.part) is ToolCall and item.part.kind == "custom"
