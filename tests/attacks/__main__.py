"""Runs an attack: `python -m tests.attacks NAME --address HOST:PORT`, and prints the result as JSON.

It prints BEGUN when there is a connection; SIGTERM ends it early.
"""

import argparse
import asyncio
import json
import os
import resource
import signal
import ssl
import sys
from dataclasses import replace
from pathlib import Path

from tests.attacks.attacks import ATTACKS
from tests.attacks.flood import BEGUN, Flood, Tally, run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks")
    parser.add_argument("name", choices=ATTACKS)
    parser.add_argument("--address", required=True, help="HOST:PORT or unix:PATH")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, help="instead of the attack's own number")
    parser.add_argument("--request", type=Path, help="file with the serialized request of calls that are valid")
    parser.add_argument("--ca", type=Path, help="PEM file of the server's authority; turns TLS on")
    parser.add_argument("--identification", type=Path, help="PEM file with a client certificate and its key")
    parser.add_argument("--idle", action="store_true", help="leave the core to whoever else wants it")
    arguments = parser.parse_args()
    if arguments.idle:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    flood = ATTACKS[arguments.name](arguments.request.read_bytes() if arguments.request else b"")
    if arguments.connections:
        flood = replace(flood, connections=arguments.connections)
    tls = _tls(arguments.ca, arguments.identification)
    json.dump(vars(asyncio.run(_attack(flood, arguments.address, arguments.seconds, tls))), sys.stdout)


async def _attack(flood: Flood, address: str, seconds: float, tls: ssl.SSLContext | None) -> Tally:
    enough = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, enough.set)
    return await run(flood, address, seconds, tls, begun=lambda: print(BEGUN, flush=True), enough=enough)  # noqa: T201


def _tls(ca: Path | None, identification: Path | None) -> ssl.SSLContext | None:
    if ca is None:
        return None
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2"])
    if identification:
        context.load_cert_chain(identification)
    return context


if __name__ == "__main__":
    main()
