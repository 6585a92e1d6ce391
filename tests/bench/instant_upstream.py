"""A Cognito that responds at once: one response to every request, on the load generator's core."""

import argparse
import socket
import threading

from tests.fakes.cognito_engine import unsigned_jwt

IDENTITY_ID = "us-east-1:11111111-2222-4333-8444-555555555555"
POOL_ID = "us-east-1:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"

_HEAD_END = b"\r\n\r\n"


def answer() -> bytes:
    token = unsigned_jwt(IDENTITY_ID, POOL_ID, 2_000_000_000, 2_000_000_900, serial=1)
    body = f'{{"IdentityId":"{IDENTITY_ID}","Token":"{token}"}}'.encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\nx-amzn-requestid: 1" + _HEAD_END + body


def serve(connection: socket.socket, response: bytes) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    received = b""
    with connection:
        while data := connection.recv(65_536):
            received += data
            head, found, body = received.partition(_HEAD_END)
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if found and len(body) >= length:
                received = b""
                connection.sendall(response)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    response = answer()
    listener = socket.create_server(("127.0.0.1", parser.parse_args().port))
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, response), daemon=True).start()


if __name__ == "__main__":
    main()
