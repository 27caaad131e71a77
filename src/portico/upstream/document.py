"""What is read of a reply to judge it by."""

from typing import Final

import msgspec

_ABSENT: Final = msgspec.Raw(b"")


class Document(msgspec.Struct):
    """What tells an error from an answer, in every dialect."""

    error: msgspec.Raw = _ABSENT
    type: msgspec.Raw = _ABSENT
    message: msgspec.Raw = _ABSENT
    delta: msgspec.Raw = _ABSENT
