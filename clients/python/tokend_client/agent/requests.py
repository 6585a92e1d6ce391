"""The requests for tokens, with logins from files."""

from datetime import timedelta
from pathlib import Path

import grpc

from tokend_client.agent.configuration import TokenSettings
from tokend_client.errors import TokendError
from tokend_client.model import TokenRequest


class RequestProblem(Exception):
    """Raised if a request cannot be created; the text contains no login."""

    def as_error(self) -> TokendError:
        """Returns the same failure as that of a call."""
        return TokendError(str(self), grpc.StatusCode.FAILED_PRECONDITION)


def request_for(settings: TokenSettings) -> TokenRequest:
    """Returns the request for a token, with the current contents of its login files.

    Raises:
        RequestProblem: A login file cannot be read, or contains no text.
    """
    read = {provider: _login(provider, path) for provider, path in settings.login_files.items()}
    duration = settings.token_duration_seconds
    return TokenRequest(
        identity_pool_id=settings.identity_pool_id,
        logins={**settings.logins, **read},
        identity_id=settings.identity_id,
        principal_tags=settings.principal_tags,
        token_duration=None if duration is None else timedelta(seconds=duration),
    )


def _login(provider: str, path: Path) -> str:
    try:
        # Whitespace around an ID token is not part of it: editors end files with a newline.
        login = path.read_bytes().decode("utf-8-sig").strip()
    except OSError as error:
        raise RequestProblem(f"the login of {provider}: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RequestProblem(f"the login of {provider}: {path}: is not UTF-8") from None
    if not login:
        raise RequestProblem(f"the login of {provider}: {path}: is empty")
    return login
