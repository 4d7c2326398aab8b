"""Ports on the loopback address: is one free, and which one is."""

import random
import socket

HOST = "127.0.0.1"
# Below the range from which systems take the local ports of outgoing connections, so that nobody grabs it meanwhile.
_CANDIDATES = range(20_000, 32_000)


class PortTaken(Exception):
    """Another program listens on a port that we need; the message names the variable that moves ours."""


def check_port(port: int, *, variable: str) -> None:
    """Raise `PortTaken` unless the port is free; `variable` is what the person sets to choose another."""
    if not _is_free(port):
        raise PortTaken(f"Port {port} is already in use; stop the program that listens there or set {variable}=.")


def free_port() -> int:
    """Return a port that is free now."""
    # Random, not the next free one: two servers starting together would choose the same.
    for port in random.sample(_CANDIDATES, k=100):
        if _is_free(port):
            return port
    raise PortTaken(f"No free port was found between {_CANDIDATES.start} and {_CANDIDATES.stop - 1}.")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Without it a connection that closed a moment ago would still count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
