"""One kind of call: the shape of its errors and usage, and where its model and its wish for a stream stand."""

from typing import Literal

import msgspec

from portico.types import Dialect

Body = Literal["json", "multipart", "binary", "none"]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of call.

    `dialect` is the shape of its errors and usage. `body` is the kind of its request: `multipart` ones may come as
    JSON too. `model_in` says where the caller writes the model. `streams` is `body` where the request's `stream`
    decides, `path` where the operation always streams. `upload` is true where the body is a file's, `local` where the
    gateway answers by itself, `usage_on_request` where a stream has its usage only if it is asked for.
    """

    name: str
    dialect: Dialect
    body: Body = "json"
    model_in: Literal["body", "path", "none"] = "body"
    streams: Literal["body", "path", "never"] = "never"
    upload: bool = False
    local: bool = False
    usage_on_request: bool = False
