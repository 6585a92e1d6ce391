"""Makes sequential handshakes in several threads until standard input ends: `… HOST PORT CA_FILE CLIENT_FILE`."""

import socket
import ssl
import sys
import threading
from contextlib import suppress

_THREADS = 4
_TIMEOUT = 30


def main() -> None:
    host, port, ca_file, client_file = sys.argv[1:]
    context = ssl.create_default_context(cafile=ca_file)
    context.load_cert_chain(client_file)
    context.set_alpn_protocols(["h2"])

    def connect() -> None:
        while True:
            with (
                suppress(OSError),  # whether connections fail is seen by those that call
                socket.create_connection((host, int(port)), _TIMEOUT) as connection,
                context.wrap_socket(connection, server_hostname=host),
            ):
                pass

    for _ in range(_THREADS):
        threading.Thread(target=connect, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
