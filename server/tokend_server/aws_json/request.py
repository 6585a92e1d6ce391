"""Requests to the service, independent of the transport."""

from collections.abc import Mapping
from typing import NamedTuple


class AwsRequest(NamedTuple):
    """A request.

    Attributes:
        method: The HTTP method.
        target: The path and the query, as they arrived.
        values: The headers in the form of `canonical_headers`.
        body: The body.
        peer: The address of the client, without the port.
    """

    method: str
    target: str
    values: Mapping[str, str]
    body: bytes
    peer: str = ""

    @property
    def path(self) -> str:
        """The path, as it arrived."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query, as it arrived."""
        return self.target.partition("?")[2]
