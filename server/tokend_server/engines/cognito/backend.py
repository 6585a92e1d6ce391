from collections.abc import Sequence

from botocore.credentials import Credentials

from tokend_server.engines.cognito.faults import to_domain
from tokend_server.engines.cognito.trouble_watch import TroubleWatch
from tokend_server.errors import EngineCredentialsRejected, TokendError


class RegionBackend:
    """The `Backend` of Cognito's pools in a Region: checks the credentials of their calls, without calling Cognito.

    Args:
        credentials: The service's own credentials.
        watch: Remembers errors that last until an operator acts.
    """

    def __init__(self, credentials: Credentials, watch: TroubleWatch) -> None:
        self._credentials = credentials
        self._watch = watch

    def check(self) -> Sequence[str]:
        problems = self._watch.check()
        try:
            self._credentials.get_frozen_credentials()
        except Exception as error:  # noqa: BLE001 - the table of faults sorts what boto3 raises
            raise _without_credentials(error) from None
        return problems


def _without_credentials(error: Exception) -> EngineCredentialsRejected:
    known = to_domain(error, (), "", None)
    rejection = EngineCredentialsRejected("The service's own AWS credentials are not available now.")
    rejection.advice = known.advice if isinstance(known, TokendError) else ""
    return rejection
