"""How messages are laid in a byte stream: server-sent events and the AWS event stream. Pure."""
