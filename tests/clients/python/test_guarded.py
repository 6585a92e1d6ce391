"""A server that requires authentication, and clients with a certificate or a bearer token."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from tests.clients.guarded import Guarded, guarded_server
from tests.clients.python.facades import TIMEOUT, Facade

from tokend_client import BearerToken, ErrorReason, Token, TokendError, TokenRequest, tls_credentials


def trusted(guarded: Guarded, *, identified: bool = False) -> grpc.ChannelCredentials:
    names = (guarded.ca_file, *((guarded.private_key_file, guarded.certificate_file) if identified else ()))
    return tls_credentials(*(Path(name).read_bytes() for name in names))


@contextmanager
def bearing(facade_type: type[Facade], guarded: Guarded, bearer_token: BearerToken | None) -> Iterator[Facade]:
    with facade_type(
        guarded.bearer, credentials=trusted(guarded), bearer_token=bearer_token, timeout=TIMEOUT
    ) as facade:
        yield facade


def ask(facade: Facade, guarded: Guarded, identity_pool_id: str | None = None) -> Token:
    logins = {guarded.developer_provider_name: "alice"}
    request = TokenRequest(identity_pool_id=identity_pool_id or guarded.identity_pool_id, logins=logins)
    issued: Token = facade.call("get_token", request=request)
    return issued


def reason_of_the_refusal(facade: Facade, guarded: Guarded, identity_pool_id: str | None = None) -> str | None:
    with pytest.raises(TokendError) as caught:
        ask(facade, guarded, identity_pool_id)
    return caught.value.reason


def test_a_client_certificate_identifies_the_caller(facade_type: type[Facade], guarded: Guarded) -> None:
    with facade_type(guarded.mutual_tls, credentials=trusted(guarded, identified=True)) as facade:
        assert ask(facade, guarded).identity_id
        assert reason_of_the_refusal(facade, guarded, guarded.other_identity_pool_id) == ErrorReason.CALLER_NOT_ALLOWED


def test_without_a_certificate_there_is_no_connection(facade_type: type[Facade], guarded: Guarded) -> None:
    with facade_type(guarded.mutual_tls, credentials=trusted(guarded)) as facade, pytest.raises(TokendError) as caught:
        ask(facade, guarded)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAVAILABLE, None)


def test_a_bearer_token_identifies_the_caller(facade_type: type[Facade], guarded: Guarded) -> None:
    with bearing(facade_type, guarded, Path(guarded.key_file)) as facade:
        assert ask(facade, guarded).identity_id
        assert reason_of_the_refusal(facade, guarded, guarded.other_identity_pool_id) == ErrorReason.CALLER_NOT_ALLOWED
    with bearing(facade_type, guarded, Path(guarded.key_file).read_text) as facade:
        assert ask(facade, guarded).identity_id
    with bearing(facade_type, guarded, None) as facade:
        assert reason_of_the_refusal(facade, guarded) == ErrorReason.CALLER_UNAUTHENTICATED


def test_health_is_watched_with_the_bearer_token(facade_type: type[Facade], tmp_path: Path) -> None:
    with guarded_server(tmp_path, health="identified") as guarded:
        with bearing(facade_type, guarded, Path(guarded.key_file)) as facade:
            assert ask(facade, guarded).identity_id
        with bearing(facade_type, guarded, Path(guarded.unknown_key_file)) as facade:
            assert reason_of_the_refusal(facade, guarded) is None


def test_a_replaced_bearer_token_file_is_read_again(
    facade_type: type[Facade], guarded: Guarded, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.symlink_to(guarded.unknown_key_file)
    with bearing(facade_type, guarded, file) as facade:
        assert reason_of_the_refusal(facade, guarded) == ErrorReason.CALLER_UNAUTHENTICATED
        (tmp_path / "next").symlink_to(guarded.key_file)
        (tmp_path / "next").replace(file)
        assert ask(facade, guarded).identity_id


def test_a_call_after_the_retry_delay_succeeds(facade_type: type[Facade], guarded: Guarded) -> None:
    with bearing(facade_type, guarded, Path(guarded.key_of_a_limited_caller_file)) as facade:
        refusal = refused(facade, guarded)
        assert refusal.reason == ErrorReason.TOO_MANY_REQUESTS
        assert refusal.retry_delay
        assert timedelta() < refusal.retry_delay <= timedelta(seconds=0.5)
        time.sleep(refusal.retry_delay.total_seconds())
        assert ask(facade, guarded).identity_id


def refused(facade: Facade, guarded: Guarded) -> TokendError:
    """Calls until a call fails."""
    while True:
        try:
            ask(facade, guarded)
        except TokendError as error:
            return error
