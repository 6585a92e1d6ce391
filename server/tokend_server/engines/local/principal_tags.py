"""Principal tags from the claims of providers' tokens: Cognito's attributes for access control.

Cognito Developer Guide, "Using attributes for access control".
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

#: The name of a claim for each tag.
TagMap: TypeAlias = Mapping[str, str]

#: Cognito's default mapping.
DEFAULTS: TagMap = MappingProxyType({"username": "sub", "client": "aud"})

#: The values that STS accepts for a session tag (AWS STS API Reference, "Tag").
_VALUE = re.compile(r"[\w .:/=+\-@]{0,256}")


def tag_map(given: Mapping[str, Any]) -> TagMap:
    """Returns the map of a provider from `UseDefaults` and `PrincipalTags` of SetPrincipalTagAttributeMap."""
    return DEFAULTS if given.get("UseDefaults") else {**given.get("PrincipalTags", {})}


def tags_of(maps: Mapping[str, TagMap], claims_by_provider: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, str]:
    """Returns the tags of a user from tokens of providers; if several have a tag, the first one applies.

    A claim that is absent, or not a valid tag value, produces no tag: policies that require the tag then deny access.

    Args:
        maps: The maps by provider.
        claims_by_provider: The claims of the verified tokens, with their providers.
    """
    tags: dict[str, str] = {}
    for provider_name, claims in claims_by_provider:
        for tag, claim in maps.get(provider_name, {}).items():
            text = _text(claims.get(claim))
            if text is not None:
                tags.setdefault(tag, text)
    return tags


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value) if isinstance(value, str | int) else None
    return text if text is not None and _VALUE.fullmatch(text) else None
