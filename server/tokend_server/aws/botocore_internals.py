"""The private interfaces of botocore that tokend uses: credentials, connections and retries of a client."""

from types import SimpleNamespace
from typing import Any

import botocore.session
from botocore.client import BaseClient
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.endpoint import Endpoint
from botocore.hooks import HierarchicalEmitter
from botocore.httpsession import URLLib3Session
from botocore.model import ServiceId
from botocore.retries import standard

from tokend_server.library_parts import require


def use_credentials(session: botocore.session.Session, credentials: Credentials) -> None:
    """Makes the clients of a session use only these credentials."""
    session.register_component("credential_provider", SimpleNamespace(load_credentials=lambda: credentials))


def use_connections(client: Any, **pools: type) -> None:  # noqa: ANN401 - boto3's clients have no types
    """Makes a client use connection pools of these classes, by URL scheme."""
    client._endpoint.http_session._pool_classes_by_scheme.update(pools)


def replace_automatic_retries(client: Any, max_attempts: int) -> standard.RetryHandler:  # noqa: ANN401 - as above
    """Disables botocore's automatic retries, and returns their handler for explicit use."""
    service = client.meta.service_model.service_id.hyphenize()
    event, handler_id = f"needs-retry.{service}", f"retry-config-{service}"
    client.meta.events.unregister(event, unique_id=handler_id)
    handler = standard.register_retry_handler(client, max_attempts)
    client.meta.events.unregister(event, unique_id=handler_id)
    return handler


def needs_renewal(credentials: Credentials | None, within: int | None = None) -> bool:
    """Returns whether credentials expire within some seconds; by default within botocore's margin."""
    return isinstance(credentials, RefreshableCredentials) and credentials.refresh_needed(within)


def _has_connection_classes() -> bool:
    session = URLLib3Session()
    kept = session._pool_classes_by_scheme
    names = {*BaseClient.__init__.__code__.co_names, *Endpoint.__init__.__code__.co_names}
    is_used = session._manager.pool_classes_by_scheme is kept
    return names >= {"_endpoint", "http_session"} and is_used and kept.keys() == {"http", "https"}


def _has_replaceable_retries() -> bool:
    events = HierarchicalEmitter()
    meta = SimpleNamespace(events=events, service_model=SimpleNamespace(service_id=ServiceId("one")))
    client = SimpleNamespace(meta=meta)
    standard.register_retry_handler(client, 2)
    handler = replace_automatic_retries(client, 2)
    return callable(handler.needs_retry) and not events.emit("needs-retry.one.Operation")


def _has_credential_provider() -> bool:
    session, credentials = botocore.session.Session(), Credentials("", "")
    use_credentials(session, credentials)
    return session.get_credentials() is credentials


def _has_credential_expiry() -> bool:
    return "refresh_in" in RefreshableCredentials.refresh_needed.__code__.co_varnames


require(
    "botocore",
    {
        "credentials of a session's own": _has_credential_provider,
        "the ends of credentials": _has_credential_expiry,
        "connections of a client's own": _has_connection_classes,
        "standard retries that can be asked": _has_replaceable_retries,
    },
)
