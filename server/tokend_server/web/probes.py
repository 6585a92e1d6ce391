"""Metrics and probes for those who operate the service."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


def ops_routes(registry: CollectorRegistry, look: Callable[[], tuple[bool, list[str]]]) -> list[Route]:
    """The routes of the ops listener.

    Args:
        registry: The metrics to show.
        look: Finds out whether the service could serve a call now, and what keeps it from serving some or all.
    """

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    async def livez(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    def readyz(_request: Request) -> Response:
        ready, problems = look()
        lines = ["ok", *problems] if ready else problems
        return PlainTextResponse("".join(f"{line}\n" for line in lines), 200 if ready else 503)

    return [Route("/metrics", metrics), Route("/livez", livez), Route("/readyz", readyz)]
