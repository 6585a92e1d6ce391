"""Notifies systemd of the agent's state: sd_notify(3), for units of Type=notify."""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


def notify(environment: Mapping[str, str] = os.environ, **variables: str) -> None:
    """Sends a state such as `READY=1` to the socket in the environment, if there is one.

    Ignores a supervisor that does not listen.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    message = "\n".join(f"{name}={value}" for name, value in variables.items())
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(0)
        sender.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
