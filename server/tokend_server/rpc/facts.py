"""What the audit log is to know of a request and of its answer."""

import base64
import json
from functools import lru_cache
from itertools import islice
from typing import Any

from tokend_server.call import Facts
from tokend_server.model import IssuedToken

#: More of a request than this has not been checked yet, and is not kept.
_MOST_NAMES = 50
_MOST_CHARACTERS = 256


def add_request(facts: Facts, request: Any) -> None:  # noqa: ANN401 - any of the requests
    """Notes what a request asks for, whether or not it is within its limits."""
    facts.identity_pool_id = request.identity_pool_id[:_MOST_CHARACTERS]
    facts.identity_id = getattr(request, "identity_id", "")[:_MOST_CHARACTERS]
    if hasattr(request, "logins"):
        facts.provider_names = _names(request.logins)
        facts.principal_tag_keys = _names(request.principal_tags)
        facts.token_duration = request.token_duration.seconds if request.HasField("token_duration") else None
    elif hasattr(request, "developer_provider_name"):
        facts.developer_provider_name = request.developer_provider_name[:_MOST_CHARACTERS]


def add_issued(facts: Facts, issued: IssuedToken) -> None:
    """Notes what was issued."""
    facts.result_identity_id = issued.identity_id
    facts.outcome = issued.outcome.value if issued.outcome else None
    facts.expire_time = issued.expire_time
    facts.key_id = _key_id(issued.token.reveal().partition(".")[0])


@lru_cache(256)
def _key_id(encoded_header: str) -> str | None:
    """The `kid` of a token's header, which is the same for all tokens of a key."""
    try:
        header = json.loads(base64.urlsafe_b64decode(encoded_header + "=" * (-len(encoded_header) % 4)))
        return str(header["kid"])
    except (ValueError, TypeError, KeyError):
        return None


def _names(given: Any) -> tuple[str, ...]:  # noqa: ANN401 - the keys of a protobuf map
    return tuple(name[:_MOST_CHARACTERS] for name in islice(given, _MOST_NAMES))
