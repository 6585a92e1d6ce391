"""Requests as they reach the service, whatever transport carries them."""

from collections.abc import Mapping
from typing import NamedTuple

from tokend_server.aws_json.wire import Headers


class AwsRequest(NamedTuple):
    """A request.

    Attributes:
        method: The HTTP method.
        target: The path with its query, as it arrived.
        headers: All headers, as they arrived.
        values: The same as `folded` makes them.
        body: The body.
        peer: The address that it came from, without the port.
        region: The AWS Region that it was signed for, once that is known.
    """

    method: str
    target: str
    headers: Headers
    values: Mapping[str, str]
    body: bytes
    peer: str = ""
    region: str = ""

    @property
    def path(self) -> str:
        """The path alone, as it arrived."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the path, as it arrived."""
        return self.target.partition("?")[2]
