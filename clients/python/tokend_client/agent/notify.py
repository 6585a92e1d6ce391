"""Telling systemd how far the agent is: sd_notify(3), for units of Type=notify."""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


def notify(environment: Mapping[str, str] = os.environ, **variables: str) -> None:
    """Sends `READY=1` and the like to the socket that the environment names, if it names one.

    A supervisor that does not listen is none of the agent's problems.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    message = "\n".join(f"{name}={value}" for name, value in variables.items())
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(0)
        sender.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
