"""What tests of the client say and do on real sockets: a short reply, a deadline, a connection that is reset."""

import asyncio
import socket
import struct

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def later(seconds: float = 10) -> float:
    return asyncio.get_running_loop().time() + seconds


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with an RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
