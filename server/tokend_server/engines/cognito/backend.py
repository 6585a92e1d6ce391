from collections.abc import Sequence

from botocore.credentials import Credentials

from tokend_server.engines.cognito.faults import to_contract_error
from tokend_server.engines.cognito.lasting_errors import LastingErrors
from tokend_server.errors import EngineCredentialsRejected


class RegionBackend:
    """The `Backend` of Cognito's pools in a Region: checks the credentials of their calls, without calling Cognito.

    Args:
        credentials: The service's own credentials.
        lasting_errors: Remembers errors that last until an operator acts.
    """

    def __init__(self, credentials: Credentials, lasting_errors: LastingErrors) -> None:
        self._credentials = credentials
        self._lasting_errors = lasting_errors

    def check(self) -> Sequence[str]:
        problems = self._lasting_errors.check()
        try:
            self._credentials.get_frozen_credentials()
        except Exception as error:  # noqa: BLE001 - the table of faults sorts what boto3 raises
            raise _without_credentials(error) from None
        return problems


def _without_credentials(error: Exception) -> EngineCredentialsRejected:
    known = to_contract_error(error, (), "", None)
    rejection = EngineCredentialsRejected("The service's own AWS credentials are not available now.")
    return rejection.with_advice(known.advice if known else "")
