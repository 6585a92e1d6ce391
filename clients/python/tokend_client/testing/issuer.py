"""An issuer's discovery document and keys, on the loopback."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_JWKS_PATH = "/.well-known/jwks.json"
_COGNITO_JWKS_PATH = "/.well-known/jwks_uri"
_DISCOVERY_PATH = "/.well-known/openid-configuration"


class FakeIssuer:
    """Serves the discovery document and the keys until `close`.

    Args:
        jwks: Returns the JWK Set to serve, as JSON, for each request.
        algorithm: The algorithm of the keys.

    Attributes:
        url: The issuer's URL.
    """

    def __init__(self, jwks: Callable[[], str], algorithm: str) -> None:
        documents = {_JWKS_PATH: jwks, _COGNITO_JWKS_PATH: jwks}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                document = documents.get(self.path)
                content = document().encode() if document else b""
                self.send_response(200 if document else 404)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
                """Logs nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        configuration = {
            "issuer": self.url,
            "jwks_uri": self.url + _JWKS_PATH,
            "id_token_signing_alg_values_supported": [algorithm],
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
        }
        documents[_DISCOVERY_PATH] = lambda: json.dumps(configuration)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops serving: connections are then refused."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
