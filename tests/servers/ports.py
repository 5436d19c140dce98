"""Free ports on the loopback interface."""

from __future__ import annotations

import random
import socket

#: Below the range of ports for outgoing connections (32768 and up on Linux), so that no connection occupies the port
#: when the server starts a moment later.
_FIRST, _LAST = 10_240, 32_000
_given: set[int] = set()


def free_port() -> int:
    """Return a free port, never the same one twice in this process."""
    for _ in range(1_000):
        port = random.randint(_FIRST, _LAST)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise RuntimeError("no free port was found in a thousand tries")


def answers(port: int, address: str = "127.0.0.1") -> bool:
    """Return whether a process listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((address, port)) == 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
