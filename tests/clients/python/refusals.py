"""Calls of a client that fail."""

from typing import Any

import pytest

from tokend_client import ErrorReason, TokendError


def refused(reason: ErrorReason, call: Any) -> TokendError:  # noqa: ANN401 - whatever can be called
    with pytest.raises(TokendError) as caught:
        call()
    assert caught.value.reason == reason
    return caught.value
