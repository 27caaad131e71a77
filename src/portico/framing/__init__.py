"""How messages are laid in a byte stream: server-sent events, the AWS event stream, JSON arrays. Pure."""
