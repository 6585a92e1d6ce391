"""RDS authentication tokens, in place of passwords."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.fakes.cognito_upstream import ACCESS_KEY
from tests.support.aws_environment import give_credentials, without_aws_settings

from tokend_server.aws.rds_tokens import NoRdsToken, rds_tokens
from tokend_server.clock import SystemClock


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], str]:
    without_aws_settings(monkeypatch, tmp_path)
    return rds_tokens("eu-west-1", "db.example.test", 5433, "me", SystemClock())


def test_a_token_is_a_signed_request_to_connect(token: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    give_credentials(monkeypatch, ACCESS_KEY)
    parts = urlsplit(f"https://{token()}")
    query = parse_qs(parts.query)
    assert (parts.netloc, query["Action"], query["DBUser"]) == ("db.example.test:5433", ["connect"], ["me"])
    assert query["X-Amz-Credential"][0].startswith(ACCESS_KEY.aws_access_key_id)
    assert query["X-Amz-Credential"][0].endswith("/eu-west-1/rds-db/aws4_request")
    assert query["X-Amz-Expires"] == ["900"]


def test_without_credentials_there_is_no_rds_token(token: Callable[[], str]) -> None:
    with pytest.raises(NoRdsToken, match="Unable to locate credentials"):
        token()
