"""What a listener shows, and what it says where it shows nothing."""

from collections.abc import Mapping
from http import HTTPStatus

from tokend_server.web.message import Page, Response, plain_text

#: What lets scripts of any web site read (Fetch Standard, section 3.3).
CORS_HEADERS = {"access-control-allow-origin": "*"}

_ALLOW = {"allow": "GET, HEAD"}

#: For a day, any script may read with whatever headers it likes.
_PREFLIGHT_HEADERS = {
    **CORS_HEADERS,
    **_ALLOW,
    "access-control-allow-headers": "*",
    "access-control-allow-methods": "GET, HEAD",
    "access-control-max-age": "86400",
}

#: The refusals of a listener that only reads, with their headers.
_REFUSALS: Mapping[HTTPStatus, Mapping[str, str]] = {
    HTTPStatus.BAD_REQUEST: {},
    HTTPStatus.NOT_FOUND: {},
    HTTPStatus.METHOD_NOT_ALLOWED: _ALLOW,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: {},
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: {},
    HTTPStatus.INTERNAL_SERVER_ERROR: {},
}


class Site:
    """The pages of a listener, and its other answers.

    Args:
        pages: What is at which path.
        public: Whether scripts of any web site may read the answers, refusals included.

    Attributes:
        pages: What is at which path.
        refusals: What is answered where there is no page.
        preflight: What OPTIONS is answered (Fetch Standard, section 3.3.2), whatever the path, so that a script learns
            of a wrong path by its own request; None where OPTIONS is refused.
    """

    def __init__(self, pages: Mapping[str, Page], *, public: bool = False) -> None:
        common = CORS_HEADERS if public else {}
        self.pages = pages
        self.refusals = {
            status: plain_text(f"{status.phrase}\n", status, **common, **headers)
            for status, headers in _REFUSALS.items()
        }
        self.preflight = Response(HTTPStatus.NO_CONTENT, _PREFLIGHT_HEADERS) if public else None
