"""Command lines of tokendctl, against a fake service."""

from tests.support.tokendctl import Ended, run_tokendctl

GET = "get-open-id-token-for-developer-identity"
LOOKUP = "lookup-developer-identity"
MERGE = "merge-developer-identities"
UNLINK = "unlink-developer-identity"
POOL = "us-east-1:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"
IDENTITY = "us-east-1:11111111-2222-4333-8444-555555555555"


def run(*args: str, endpoint: str | None = None, **environment: str) -> Ended:
    at = ["--endpoint", endpoint] if endpoint is not None else []
    return run_tokendctl([*args, *at], environment)
