"""Metrics and probes for those who operate the service."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


def ops_routes(registry: CollectorRegistry, problems: Callable[[], list[str]]) -> list[Route]:
    """The routes of the ops listener.

    Args:
        registry: The metrics to show.
        problems: Finds out why the service could not serve a call now; nothing when it could.
    """

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    async def livez(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    def readyz(_request: Request) -> Response:
        found = problems()
        return PlainTextResponse("".join(f"{line}\n" for line in found or ["ok"]), 503 if found else 200)

    return [Route("/metrics", metrics), Route("/livez", livez), Route("/readyz", readyz)]
