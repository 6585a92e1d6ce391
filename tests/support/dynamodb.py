"""A double of DynamoDB: moto's, in this process."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

_HOST = "127.0.0.1"


def table_name() -> str:
    """The name of a table that is not there yet."""
    return f"tokend-{uuid.uuid4().hex}"


def table_url(endpoint_url: str, table: str, **parameters: object) -> str:
    """The URL of a store."""
    query = "".join(f"&{name}={value}" for name, value in parameters.items())
    return f"dynamodb://{table}?region=eu-west-1&endpoint_url={endpoint_url}{query}"


@contextmanager
def moto() -> Iterator[str]:
    """moto's DynamoDB; its URL.

    A transaction that it cancels puts the tables back as they were, whatever others have written meanwhile. So one
    thread answers one request after the other.
    """
    server = make_server(_HOST, 0, DomainDispatcherApplication(create_backend_app), threaded=False)
    thread = threading.Thread(target=server.serve_forever, name="moto")
    thread.start()
    try:
        yield f"http://{_HOST}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
