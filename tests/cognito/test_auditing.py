"""With `audit.required`, changes in Cognito are recorded before they are requested."""

import json
from pathlib import Path

import grpc
import pytest
from tests.cognito.running_service import GET, LOOKUP, MERGE, UNLINK, Services
from tests.fakes.cognito_script import Hang, Success
from tests.fakes.cognito_upstream import CognitoUpstream

from tokend_server.config.access import Audit


@pytest.mark.parametrize("method", [GET, MERGE, UNLINK])
def test_the_audit_intent_is_written_before_cognito_is_called(
    method: str, services: Services, upstream: CognitoUpstream, tmp_path: Path
) -> None:
    log = tmp_path / "audit.log"
    service = services.start(upstream.url, audit=Audit(destination=f"file:{log}", required=True))
    upstream.always(Hang(then=Success()))
    call = service.begin(method)
    upstream.wait_for_requests(1)
    (intent,) = map(json.loads, log.read_text().splitlines())
    assert (intent["eventName"], intent["additionalEventData"]["phase"]) == (method, "intent")
    upstream.release()
    call.result()
    _, outcome = map(json.loads, log.read_text().splitlines())
    assert outcome["requestID"] == intent["requestID"]
    assert "phase" not in outcome["additionalEventData"]


@pytest.mark.parametrize("method", [GET, MERGE, UNLINK])
def test_a_change_that_cannot_be_recorded_is_not_sent_to_cognito(
    method: str, services: Services, upstream: CognitoUpstream
) -> None:
    service = services.start(upstream.url, audit=Audit(destination="file:/dev/full", required=True))
    assert service.refused(method).code is grpc.StatusCode.UNAVAILABLE
    assert upstream.requests == []


def test_a_lookup_has_no_audit_intent(services: Services, upstream: CognitoUpstream, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    service = services.start(upstream.url, audit=Audit(destination=f"file:{log}", required=True))
    service.call(LOOKUP)
    (line,) = map(json.loads, log.read_text().splitlines())
    assert "phase" not in line["additionalEventData"]
