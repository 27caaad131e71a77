"""What is read of a reply of Bedrock's, or of a stream's `metadata`; the rest is skipped."""

import msgspec

from portico.dialects.tokens import NOTHING


class Reply(msgspec.Struct):
    """Either of them."""

    usage: msgspec.Raw = NOTHING
    tier: msgspec.Raw = msgspec.field(name="serviceTier", default=NOTHING)
