"""Splits the Logins map of a call into the developer user and the public logins, by provider name."""

from collections.abc import Mapping

from tokend_server.engines.configured_pools import SUPPORTED_LOGIN_PROVIDERS
from tokend_server.engines.local.outcomes import Situation, refusal
from tokend_server.engines.local.pool import LocalPool
from tokend_server.engines.local.providers import COGNITO_IDENTITY, OPAQUE_PROVIDERS, is_user_pool
from tokend_server.errors import InvalidParameter, TokendError
from tokend_server.model import Secret


def split_logins(pool: LocalPool, logins: Mapping[str, Secret]) -> tuple[Secret, Mapping[str, Secret]]:
    """Separates the developer user from the public logins.

    Returns:
        The developer user's identifier, and the ID tokens by provider name, sorted by name.

    Raises:
        InvalidParameter: The developer login is missing, a key is not a provider of the pool, or a provider is not
            supported by the local engine; the text names all problems.
        NotAuthorized: All problems are public providers that the pool does not accept.
    """
    developer_user_identifier = logins.get(pool.developer_provider_name)
    if developer_user_identifier is not None and len(logins) == 1:
        return developer_user_identifier, {}
    public_tokens = {name: logins[name] for name in sorted(logins) if name != pool.developer_provider_name}
    situations = {name: situation for name in public_tokens if (situation := _refused_situation(pool, name))}
    problems = [refusal(situation, name) for name, situation in situations.items()]
    # Cognito treats an unknown name as the developer provider's, and has one error text for that.
    if developer_user_identifier is None and Situation.DEVELOPER_PROVIDER_UNSUPPORTED not in situations.values():
        problems.insert(0, refusal(Situation.DEVELOPER_PROVIDER_MISSING, pool.developer_provider_name))
    if problems or developer_user_identifier is None:
        raise _combined_error(problems)
    return developer_user_identifier, public_tokens


def _refused_situation(pool: LocalPool, provider_name: str) -> Situation | None:
    if provider_name in pool.login_providers:
        return None
    if provider_name in OPAQUE_PROVIDERS:
        return Situation.PUBLIC_PROVIDER_OPAQUE
    if provider_name in (COGNITO_IDENTITY, pool.issuer.removeprefix("https://")):
        return Situation.COGNITO_TOKEN_AS_LOGIN
    # These names have their own meaning in Cognito, so they are never developer providers.
    if provider_name in SUPPORTED_LOGIN_PROVIDERS or is_user_pool(provider_name):
        return Situation.PUBLIC_PROVIDER_NOT_CONFIGURED
    return Situation.DEVELOPER_PROVIDER_UNSUPPORTED


def check_public_logins(pool: LocalPool, logins: Mapping[str, Secret]) -> Mapping[str, Secret]:
    """Returns the logins of a user's own device, sorted by provider name.

    Raises:
        InvalidParameter: A key is not a public provider, or the local engine does not support the provider.
        NotAuthorized: All problems are public providers that the pool does not accept.
    """
    situations = {
        name: situation for name in sorted(logins) if (situation := _refused_situation_from_device(pool, name))
    }
    if situations:
        raise _combined_error(
            [refusal(situation, _subject(pool, situation, name)) for name, situation in situations.items()]
        )
    return {name: logins[name] for name in sorted(logins)}


def _refused_situation_from_device(pool: LocalPool, provider_name: str) -> Situation | None:
    situation = _refused_situation(pool, provider_name)
    if situation is Situation.DEVELOPER_PROVIDER_UNSUPPORTED:
        return Situation.PROVIDER_NOT_PUBLIC
    if situation is Situation.PUBLIC_PROVIDER_NOT_CONFIGURED and not pool.login_providers:
        return Situation.NO_PROVIDERS_CONFIGURED
    return situation


def _subject(pool: LocalPool, situation: Situation, provider_name: str) -> str:
    return pool.identity_pool_id if situation is Situation.NO_PROVIDERS_CONFIGURED else provider_name


def _combined_error(problems: list[TokendError]) -> TokendError:
    invalid = dict.fromkeys(problem.text for problem in problems if isinstance(problem, InvalidParameter))
    if not invalid:
        return problems[0]
    if len(invalid) == 1:
        return InvalidParameter(*invalid)
    return InvalidParameter(" ".join(text if text.endswith(".") else f"{text}." for text in invalid))
