from google.protobuf.duration_pb2 import Duration

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.mesh.wanted_token import WantedToken
from tokend_server.model import Secret

POOL = "us-east-1:0"


def test_the_request_equals_that_of_an_sdk() -> None:
    wanted = WantedToken(POOL, "login.example", Secret("alice"), {"tenant": "acme"}, 300)
    assert wanted.to_request() == pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL,
        logins={"login.example": "alice"},
        principal_tags={"tenant": "acme"},
        token_duration=Duration(seconds=300),
    )


def test_a_request_without_a_duration_has_no_token_duration() -> None:
    assert not WantedToken(POOL, "login.example", Secret("alice")).to_request().HasField("token_duration")


def test_the_user_is_not_shown() -> None:
    assert "alice" not in repr(WantedToken(POOL, "login.example", Secret("alice")))
