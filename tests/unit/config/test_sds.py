"""[sds]: valid settings, and the problems of invalid ones."""

import pytest
from pydantic import ValidationError

from tokend_server.config import EMBEDDED_POOL_ID, Config, Sds

TOKEN = {"identity_pool_id": EMBEDDED_POOL_ID, "user": "checkout"}
LISTEN = ["127.0.0.1:50061"]


def problems(**sds: object) -> str:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({"sds": sds})
    return str(caught.value)


def test_the_sds_listener_is_disabled_by_default() -> None:
    assert Sds().listen == []


def test_each_address_inherits_the_common_settings() -> None:
    sds = Sds(listen=[*LISTEN, "unix:/run/sds.sock"], key_set="keys", identify_by=["bearer_key"])
    assert [(each.address, each.identify_by) for each in sds.all_listeners] == [
        (LISTEN[0], ["bearer_key"]),
        ("unix:/run/sds.sock", ["bearer_key"]),
    ]


def test_a_listener_without_secrets_is_rejected() -> None:
    assert "sds\n  Value error, listen: there is nothing to serve" in problems(listen=LISTEN)


def test_a_secret_without_a_listener_is_rejected() -> None:
    assert "listen: names no address" in problems(tokens={"t": TOKEN})


def test_a_key_set_with_the_name_of_a_token_is_rejected() -> None:
    assert "key_set: t is the name of a token" in problems(listen=LISTEN, tokens={"t": TOKEN}, key_set="t")


def test_a_token_without_a_user_needs_identified_callers() -> None:
    token = {"identity_pool_id": EMBEDDED_POOL_ID}
    assert "tokens.t.user: is needed if callers are not identified" in problems(listen=LISTEN, tokens={"t": token})


def test_a_problem_of_authentication_is_reported_once_for_all_addresses() -> None:
    text = problems(listen=["127.0.0.1:1", "127.0.0.1:2"], key_set="k", identify_by=["mutual_tls"])
    assert text.count("mutual_tls needs tls_client_ca_file") == 1


def test_an_exposed_address_needs_protection_or_an_explicit_setting() -> None:
    text = problems(listen=["0.0.0.0:50061"], key_set="k")
    assert "sds: others can reach 0.0.0.0:50061: configure TLS" in text
    assert Config.model_validate({"sds": {"listen": ["0.0.0.0:50061"], "key_set": "k", "insecure": True}})


def test_authenticators_need_their_settings_and_a_policy() -> None:
    text = problems(listen=LISTEN, key_set="k", identify_by=["jwt", "bearer_key"])
    assert "sds.identify_by: jwt needs an issuer" in text
    assert "sds.identify_by: bearer_key needs a key" in text
    assert "policy: identified callers need a policy" in text


def test_an_address_of_the_grpc_listener_is_rejected() -> None:
    assert "sds.listen: 127.0.0.1:50051 is already that of grpc.listen" in problems(
        listen=["127.0.0.1:50051"], key_set="k"
    )


def test_an_unknown_pool_is_reported() -> None:
    token = {"identity_pool_id": "eu-west-1:0", "user": "u"}
    assert "sds.tokens.t.identity_pool_id: no such pool: eu-west-1:0" in problems(listen=LISTEN, tokens={"t": token})


def test_keys_need_a_local_pool() -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(
            {
                "sds": {"listen": LISTEN, "key_set": "k"},
                "pools": {"eu-west-1:0": {"engine": "cognito", "developer_provider_name": "login"}},
            }
        )
    assert "sds.key_set: there is no local pool" in str(caught.value)
