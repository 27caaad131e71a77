"""The messages of another dialect, written as Gemini takes them.

A function response must follow its call at once, and all responses to one turn stand in one content. Instructions that
lead go into the system instruction; one in the middle stays in its place, as the user's words.
"""

import msgspec

from portico.dialects.crossing import Notes, Target
from portico.dialects.gemini import media
from portico.dialects.gemini.spelling import Object
from portico.dialects.gemini.writing import render_part, write_result, write_text
from portico.dialects.turns import HOISTED
from portico.ir import File, Message, Part, Request, Text, ToolCall, ToolResult

ROLES = {"user": "user", "assistant": "model", "tool": "user", "system": "user", "developer": "user"}
"""What our roles are called here."""

# The signature that lets Gemini 3 take calls of a turn that it did not make itself
# (ai.google.dev/gemini-api/docs/thought-signatures, read 2026-11-20), in base64.
_UNSIGNED = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
_UNSIGNING = ("gemini-1", "gemini-2", "gemma")

_encode = msgspec.json.encode


class Contents:
    """Writes the messages of another dialect: turns of one role together, every answer after its call."""

    def __init__(self, request: Request, target: Target, notes: Notes) -> None:
        self.request = request
        self.lost = notes.lost
        self.system: list[Object] = []
        self.contents: list[Object] = []
        self.names: dict[str, str] = {}
        self.kind = ""
        short = target.model.rpartition("/")[2]
        self.unsigned = not short.startswith(_UNSIGNING)
        # Before Gemini 3 a function response has no media within it.
        self.beside = "media_beside_response" in target.quirks or short.startswith(_UNSIGNING)

    def written(self) -> tuple[list[Object], list[Object]]:
        """Return the parts of the system instruction, and the contents."""
        request = self.request
        for part in request.system:
            self._put(part, self.system)
        for message in request.messages:
            self._message(message)
        if request.documents:
            self.documents(request.documents)
        if not self.contents and self.system:
            return [], [{"role": "user", "parts": self.system}]
        return self.system, self.contents

    def _message(self, message: Message) -> None:
        if message.name is not None and message.role != "tool":
            self.lost("participant_name", message.name)
        if message.role in HOISTED:
            self._instruction(message)
            return
        role = ROLES[message.role]
        answers: list[Object] = []
        others: list[Object] = []
        signed = False
        for part in message.parts:
            if type(part) is ToolResult and not part.server:
                self._answer(part, answers, others)
            elif type(part) is ToolCall and part.kind != "server":
                self.names[part.id] = part.name
                self._put(part, others)
                if not signed:
                    self._sign(part, others[-1])
                    signed = True
            else:
                self._put(part, others)
        if answers:
            self._add("answers", role, answers)
        if others:
            self._add(role, role, others)

    def _instruction(self, message: Message) -> None:
        said: list[Object] = []
        for part in message.parts:
            self._put(part, said)
        if not self.contents:
            self.system += said
            return
        for written in said:
            if "text" in written:
                written["text"] = f"<system>\n{written['text']}\n</system>"
        if said:
            self._add("user", "user", said)

    def _sign(self, call: ToolCall, written: Object) -> None:
        """Sign the first call of a turn that nobody signed, where the model asks for a signature."""
        if self.unsigned and call.signature is None:
            last = self.contents[-1]["parts"] if self.contents and self.kind == "model" else ()
            if not any("functionCall" in part for part in last):
                written["thoughtSignature"] = _UNSIGNED

    def _answer(self, part: ToolResult, answers: list[Object], others: list[Object]) -> None:
        name = self.names.get(part.id)
        if name is None:
            # Google refuses an answer to a call that is not there.
            words = "\n".join(each.text for each in part.parts if isinstance(each, Text))
            body = words or (_encode(part.data).decode() if part.data is not None else "")
            others.append({"text": f"Result of {part.name or 'a tool'}: {body}"})
            for each in part.parts:
                if not isinstance(each, Text):
                    self._put(each, others)
            return
        written = write_result(part, name, False, self.lost)
        answers.append(written)
        if self.beside and (beside := written["functionResponse"].pop("parts", None)):
            others.extend(beside)

    def _put(self, part: Part, out: list[Object]) -> None:
        """Write a part, with what it holds."""
        if type(part) is File:
            self._document(part, out)
            return
        one = write_text(part, False, self.lost) if type(part) is Text else render_part(part, False, False, self.lost)
        if one is not None:
            out.append(one)

    def _document(self, part: File, out: list[Object]) -> None:
        if part.parts and part.source.data is None and part.source.url is None:
            text = media.words(part)
            if text:
                out.append({"text": text})
            for each in part.parts:
                if type(each) is not Text:
                    self._put(each, out)
            return
        one = render_part(part, False, False, self.lost)
        if one is None:
            return
        if part.context and "text" not in one:
            # What is said of a document of bytes stands before it.
            out.append({"text": part.context})
        out.append(one)

    def _add(self, kind: str, role: str, parts: list[Object]) -> None:
        if self.contents and self.kind == kind and kind != "user":
            self.contents[-1]["parts"].extend(parts)
        else:
            self.contents.append({"role": role, "parts": parts})
            self.kind = kind

    def documents(self, documents: tuple[File, ...]) -> None:
        """Put documents that stood beside the messages before the last thing that the user said."""
        written: list[Object] = []
        for document in documents:
            self._put(document, written)
        for content in reversed(self.contents):
            if content["role"] == "user" and not any("functionResponse" in part for part in content["parts"]):
                content["parts"] = written + content["parts"]
                return
        self.contents.append({"role": "user", "parts": written})
