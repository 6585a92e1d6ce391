"""The API's texts are Cognito's known texts. All others are deliberately tokend's own."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.scripted_engine import ScriptedEngine
from tests.support.grpc_service import POOL_ID
from tests.unit.aws_json.cognito_texts import FACTS, LOGIN_TOKENS, OF_ALL_SERVICES, Fact
from tests.unit.aws_json.requests import KEY_ID, SECRET_KEY, Signed, as_sent, call, error_of, service, signed

import tokend_server
from tokend_server.aws_json.errors import access_denied, to_aws_error
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.engines.local.outcomes import OUTCOMES, Certainty, Situation
from tokend_server.errors import CallerNotAllowed, TooManyRequests
from tokend_server.model import Secret

SERVER = Path(tokend_server.__file__).parent

#: Cognito's texts for situations that do not occur in this API.
NOT_APPLICABLE = {
    "Basic (classic) flow is not supported with RoleMappings, please use enhanced flow.",
    "Invalid identity pool configuration. Check assigned IAM roles for this pool.",
    "The ambiguous role mapping rules for: {} denied this request.",
}

#: Situations without a known text of Cognito.
OWN_TEXT = {
    "A login is already linked to another identity.",
    "A token of cognito-identity.amazonaws.com must be the only login.",
    "An identity can have at most {} linked logins.",
    "Either IdentityId or DeveloperUserIdentifier must be given.",
    "Logins must contain the developer provider of this identity pool, {}.",
    "NextToken is not one that this operation returned.",
    "The identity is already linked to another user of {}.",
    "The local engine does not support the login provider {}.",
    "The logins are linked to different identities.",
}


def fits(template: str, text: str) -> bool:
    return re.fullmatch(re.escape(template).replace(r"\{\}", ".*"), text, re.DOTALL) is not None


def literal(node: ast.AST) -> str:
    """Returns the text of a string or an f-string, with `{}` for each value."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(literal, node.values))
    return "{}"


def texts_of_the_server() -> Iterator[str]:
    for path in SERVER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
                yield literal(node)


def test_every_known_text_is_verbatim_or_its_situation_is_unsupported() -> None:
    implemented = {*texts_of_the_server()}
    known = {fact.text for fact in FACTS} | {*LOGIN_TOKENS}
    assert known - implemented <= NOT_APPLICABLE


@pytest.mark.parametrize("situation", [each for each, outcome in OUTCOMES.items() if outcome.refusal])
def test_a_refusal_has_the_known_text_and_exception_of_cognito(situation: Situation) -> None:
    outcome = OUTCOMES[situation]
    assert outcome.refusal
    error = to_aws_error(outcome.refusal("SUBJECT"))
    facts = [fact for fact in FACTS if fits(fact.text, error.message)]
    if any(fits(text, error.message) for text in OWN_TEXT):
        assert facts == []
        return
    assert facts, error.message
    assert {fact.exception for fact in facts} <= {error.code, ""}
    if outcome.certainty is Certainty.LIKELY:
        assert {fact.mark for fact in facts} <= {"certain", "likely"}


DOCUMENT = {"IdentityPoolId": POOL_ID, "Logins": {"login.example.test": "alice"}}
OPERATION = "GetOpenIdTokenForDeveloperIdentity"
AWS_JSON = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"AWSCognitoIdentityService.{OPERATION}"}


def changed(**members: object) -> Signed:
    return call(OPERATION, DOCUMENT | members)


def without(name: str) -> Signed:
    return call(OPERATION, {member: value for member, value in DOCUMENT.items() if member != name})


def scoped(service_name: str = "cognito-identity", region: str = "us-east-1") -> Signed:
    return signed(json.dumps(DOCUMENT).encode(), AWS_JSON, service=service_name, region=region)


def rejection(request: Signed, late: float = 0.0) -> tuple[str, str]:
    """Returns the exception and the text for a rejected request, some seconds after it was signed."""
    verifier = SignatureVerifier({KEY_ID: Secret(SECRET_KEY)}, FakeClock(now=request.signed_at + late))
    answered = service({POOL_ID: ScriptedEngine()}, verifier, FakeClock()).answer(as_sent(request))
    _, code, text = error_of(answered)
    return code, text


def _denied() -> tuple[str, str]:
    error = access_denied(CallerNotAllowed("why"), "aws:checkout", OPERATION, "arn")
    return error.code, error.message.removesuffix(" because: why")


def _throttled() -> tuple[str, str]:
    error = to_aws_error(TooManyRequests("own text"))
    return error.code, error.message


#: How to trigger each of AWS's common texts, in the order of the table.
PROVOKED: tuple[Callable[[], tuple[str, str]], ...] = (
    lambda: rejection(changed().without_header("Authorization")),
    lambda: rejection(signed(b"{}", AWS_JSON, credentials=("AKIDUNKNOWN", SECRET_KEY, None))),
    lambda: rejection(changed().with_header("X-Amz-Target", "AWSCognitoIdentityService.LookupDeveloperIdentity")),
    lambda: rejection(changed(), late=301),
    lambda: rejection(changed(), late=-301),
    lambda: rejection(scoped(service_name="cognito-idp")),
    lambda: rejection(scoped(region="eu-west-1")),
    lambda: rejection(changed().with_header("X-Amz-Date", "20150830T123600Z")),
    lambda: rejection(without("Logins")),
    lambda: rejection(changed(IdentityId="zz")),
    lambda: rejection(changed(Logins={"login.example.test": ""})),
    lambda: rejection(changed(IdentityId="zz", TokenDuration=86_401)),
    _throttled,
    _denied,
)


@pytest.mark.parametrize(("fact", "provoke"), [*zip(OF_ALL_SERVICES, PROVOKED, strict=True)])
def test_texts_common_to_all_aws_services_are_verbatim(fact: Fact, provoke: Callable[[], tuple[str, str]]) -> None:
    code, text = provoke()
    assert code == fact.exception
    assert fits(fact.text, text), text
