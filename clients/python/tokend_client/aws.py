"""Feeding the AWS SDK's web-identity provider."""

from collections.abc import Callable

from tokend_client.source import TokenSource


def web_identity_token_loader(source: TokenSource) -> Callable[[], str]:
    """What botocore's `AssumeRoleWithWebIdentityCredentialFetcher` takes as its `web_identity_token_loader`.

    botocore calls it whenever it needs new AWS credentials, and gets a token that can still be used. It raises
    `TokendError` where there is none.
    """
    return lambda: source.token().token
