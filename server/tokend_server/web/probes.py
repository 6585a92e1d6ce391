"""The pages for metrics and probes."""

from asyncio import Future
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from tokend_server.web.message import Page, Request, Response, plain_text
from tokend_server.web.shared_response import SharedResponse

_OPENMETRICS = "application/openmetrics-text"

#: Returns whether a probe passes, and the problems.
_Probe: TypeAlias = Callable[[], tuple[bool, list[str]]]


def ops_pages(registry: CollectorRegistry, ready: _Probe, alive: _Probe) -> dict[str, Page]:
    """Returns the pages of the ops listener, by path.

    Args:
        registry: The metrics.
        ready: Checks whether the service can serve calls now; returns the problems of some or all calls.
        alive: Returns at once whether the process makes progress, and the problems if not.
    """
    return {
        "/metrics": _metrics(registry),
        "/livez": lambda _request: _answer(*alive()),
        "/readyz": SharedResponse(lambda: _answer(*ready())),
    }


def _answer(passed: bool, problems: list[str]) -> Response:  # noqa: FBT001 - the two parts of a probe's result
    lines = ["ok", *problems] if passed else problems
    status = HTTPStatus.OK if passed else HTTPStatus.SERVICE_UNAVAILABLE
    return plain_text("".join(f"{line}\n" for line in lines), status)


def _metrics(registry: CollectorRegistry) -> Page:
    # Clients may request any version in `accept`; only these two are rendered, so that all clients share them.
    openmetrics = _encoded(registry, f"{_OPENMETRICS}; version=1.0.0")
    text = _encoded(registry, "text/plain")

    def page(request: Request) -> Response | Future[Response]:
        accepted = request.headers.get(b"accept", b"")
        return (openmetrics if _OPENMETRICS.encode() in accepted else text)(request)

    return page


def _encoded(registry: CollectorRegistry, accept: str) -> SharedResponse:
    encode, content_type = choose_encoder(accept)
    return SharedResponse(lambda: Response(HTTPStatus.OK, {"content-type": content_type}, encode(registry)))
