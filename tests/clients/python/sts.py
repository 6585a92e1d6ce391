"""AssumeRoleWithWebIdentity of AWS STS on the loopback: the Query protocol over HTTP."""

import datetime as dt
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs

_ANSWER = """
<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <Credentials>
      <AccessKeyId>AKIA{number}</AccessKeyId>
      <SecretAccessKey>secret</SecretAccessKey>
      <SessionToken>session</SessionToken>
      <Expiration>{expiration}</Expiration>
    </Credentials>
    <AssumedRoleUser>
      <Arn>arn:aws:sts::123456789012:assumed-role/reader/service-a</Arn>
      <AssumedRoleId>AROA:service-a</AssumedRoleId>
    </AssumedRoleUser>
  </AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>
"""

_ERROR = """
<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error>
  <RequestId>1</RequestId>
</ErrorResponse>
"""


class WebIdentitySts:
    """Serves while the context manager is active.

    Attributes:
        requests: The parameters of each request, in order.
        life: The lifetime of its credentials, in seconds.
        rejected: The error code for rejected tokens.
        url: Its URL.
    """

    def __init__(self, life: float = 3600.0) -> None:
        self.requests: list[dict[str, str]] = []
        self.life = life
        self.rejected: dict[str, str] = {}
        self._http = _HttpServer(self)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def answer(self, body: str) -> tuple[int, bytes]:
        self.requests.append({name: values[0] for name, values in parse_qs(body).items()})
        code = self.rejected.get(self.requests[-1]["WebIdentityToken"])
        if code is not None:
            return 400, _ERROR.format(code=code).strip().encode()
        expiration = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.life)
        text = _ANSWER.format(number=len(self.requests), expiration=expiration.strftime("%Y-%m-%dT%H:%M:%SZ"))
        return 200, text.strip().encode()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, sts: WebIdentitySts) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sts = sts


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer

    def do_POST(self) -> None:
        status, answer = self.server.sts.answer(self.rfile.read(int(self.headers["content-length"])).decode())
        self.send_response(status)
        self.send_header("content-type", "text/xml")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Logs nothing."""
