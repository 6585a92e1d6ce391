"""Read-only pages, and the responses for unknown paths and methods."""

from asyncio import Future
from collections.abc import Mapping
from http import HTTPStatus

from tokend_server.web.message import Page, Request, Response, plain_text

#: The header that lets scripts of any web site read a response (Fetch Standard, section 3.3).
CORS_HEADERS = {"access-control-allow-origin": "*"}

_ALLOW = {"allow": "GET, HEAD"}

#: For a day, scripts may read with any headers.
_PREFLIGHT_HEADERS = {
    **CORS_HEADERS,
    **_ALLOW,
    "access-control-allow-headers": "*",
    "access-control-allow-methods": "GET, HEAD",
    "access-control-max-age": "86400",
}

#: The refusals, with their headers.
_REFUSALS: Mapping[HTTPStatus, Mapping[str, str]] = {
    HTTPStatus.BAD_REQUEST: {},
    HTTPStatus.NOT_FOUND: {},
    HTTPStatus.METHOD_NOT_ALLOWED: _ALLOW,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: {},
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: {},
    HTTPStatus.INTERNAL_SERVER_ERROR: {},
}


class Site:
    """An application that answers GET and HEAD, and OPTIONS if it is public.

    Args:
        pages: The pages by path.
        public: Whether scripts of any web site may read the responses, including refusals.
    """

    max_body_bytes = 0

    def __init__(self, pages: Mapping[str, Page], *, public: bool = False) -> None:
        common = CORS_HEADERS if public else {}
        self.methods: frozenset[str] | None = frozenset({"GET", "HEAD"} | ({"OPTIONS"} if public else set()))
        self._pages = pages
        self._refusals = {
            status: plain_text(f"{status.phrase}\n", status, **common, **headers)
            for status, headers in _REFUSALS.items()
        }
        self._preflight = Response(HTTPStatus.NO_CONTENT, _PREFLIGHT_HEADERS)

    def respond(self, request: Request) -> Response | Future[Response]:
        """Returns the page at the path. OPTIONS is answered for any path, so that a script can see a 404 itself.

        See the Fetch Standard, section 3.3.2.
        """
        if request.method == "OPTIONS":
            return self._preflight
        page = self._pages.get(request.path)
        return page(request) if page else self._refusals[HTTPStatus.NOT_FOUND]

    def refuse(self, status: HTTPStatus, _request: Request) -> Response:
        return self._refusals[status]
