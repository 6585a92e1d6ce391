"""SDS streams: the clients' messages, and the expected results."""

from collections.abc import Mapping
from typing import Any

from tests.fuzz.choices import Choices
from tests.fuzz.tokens import edited
from tests.mesh.secret_streams import DELTA_REQUEST, DELTA_RESPONSE, SECRET, WORLD_REQUEST, WORLD_RESPONSE

from tokend_server.errors import ValidationFailed
from tokend_server.mesh.protos import EnvoyProtos
from tokend_server.mesh.sds_messages import SdsMessages
from tokend_server.mesh.secret_stream import Variant, variants
from tokend_server.mesh.xds import GetResource, Missing, Resource

Json = Any

NAMES = ("own-token", "batch-token", "key-set")
_MESSAGES = SdsMessages(EnvoyProtos())
_VARIANTS: Mapping[str, tuple[Variant, Any, Any]] = {
    variant.method: (variant, request, response)
    for variant, request, response in zip(
        variants(_MESSAGES), (WORLD_REQUEST, DELTA_REQUEST), (WORLD_RESPONSE, DELTA_RESPONSE), strict=True
    )
}
_TYPE_URL = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"

#: The maximum number of names that a stream may request, and their maximum length.
_MOST_NAMES, _LONGEST_NAME = 1000, 1024


def secret_stream(choices: Choices) -> Json:
    """Returns the messages of a stream of either variant, and the available resources at each of them."""
    method = choices.one(*_VARIANTS)
    fields = _world_fields if method == "StreamSecrets" else _delta_fields

    def moment() -> Json:
        return {
            "fields": {**_common_fields(choices), **fields(choices)},
            "edits": choices.edits() if choices.rarely(6) else [],
            "there": {name: choices.one("one", "two", "ABSENT", "PENDING") for name in NAMES},
        }

    return {"method": method, "moments": choices.several(moment, 6)}


def check_secret_stream(_service: object, given: Json) -> None:
    """Checks that a stream follows the protocol, or ends with a named reason, and requests no more than allowed."""
    variant, request, response = _VARIANTS[given["method"]]
    state = variant.state(frozenset(NAMES))
    nonces = [""]
    for moment in given["moments"]:
        there = {name: _resource(name, moment["there"][name]) for name in NAMES}
        fields = {name: _many(value) for name, value in moment["fields"].items()}
        fields["response_nonce"] = nonces[fields["response_nonce"] % len(nonces)]
        message = edited(request(**fields).SerializeToString().decode("latin-1"), moment["edits"]).encode("latin-1")
        try:
            state.receive(variant.read(message))
        except ValidationFailed:
            return
        assert len(state.names) <= _MOST_NAMES + len(NAMES)
        get = _getter(there)
        if (sent := state.respond(get)) is not None:
            read = response.FromString(variant.write(sent))
            _check_response(read, there, state.names)
            assert read.nonce not in nonces
            nonces.append(read.nonce)
        assert state.respond(get) is None, "news without news"


def _getter(there: Mapping[str, Resource | Missing]) -> GetResource:
    return lambda name: there.get(name, Missing.ABSENT)


def _check_response(response: Any, there: Mapping[str, Resource | Missing], names: frozenset[str]) -> None:  # noqa: ANN401
    assert response.type_url == _TYPE_URL
    packed = [getattr(each, "resource", each) for each in response.resources]
    secrets = [SECRET.FromString(each.value) for each in packed]
    assert {each.name for each in secrets} <= names, "what was not asked for"
    assert len({each.name for each in secrets}) == len(secrets), "the same twice"
    for secret in secrets:
        found = there[secret.name]
        assert isinstance(found, Resource)
        assert SECRET.FromString(found.contents) == secret
    for name in getattr(response, "removed_resources", ()):
        assert there.get(name, Missing.ABSENT) is Missing.ABSENT, "removed what there is"


def _many(value: Json) -> Json:
    """Expands a field: many names are given by their numbers."""
    if not isinstance(value, dict) or "start" not in value:
        return value
    return [f"many-{number}" for number in range(value["start"], value["start"] + value["count"])]


def _resource(name: str, contents: str) -> Resource | Missing:
    if contents in Missing.__members__:
        return Missing[contents]
    secret = SECRET(name=name, generic_secret={"secret": {"inline_string": contents}})
    return Resource.of(name, secret.SerializeToString())


def _common_fields(choices: Choices) -> Json:
    error = {"error_detail": {"code": 3, "message": choices.text()}} if choices.rarely(5) else {}
    return {
        "type_url": choices.one("", _TYPE_URL, choices.text()) if choices.rarely(10) else _TYPE_URL,
        "response_nonce": choices.number(0, 7),
        **error,
    }


def _world_fields(choices: Choices) -> Json:
    return {"resource_names": _names(choices), "version_info": choices.one("", "0", choices.text())}


def _delta_fields(choices: Choices) -> Json:
    versions = choices.several(lambda: (_name(choices), choices.one("", "0", choices.text())), 3)
    return {
        "resource_names_subscribe": _names(choices),
        "resource_names_unsubscribe": _names(choices),
        "initial_resource_versions": dict(versions),
    }


def _names(choices: Choices) -> Json:
    if choices.rarely(200):
        start, count = choices.number(0, 3) * _MOST_NAMES, choices.one(_MOST_NAMES, _MOST_NAMES - 1, _MOST_NAMES + 1)
        return {"start": start, "count": count}
    return choices.several(lambda: _name(choices), 4)


def _name(choices: Choices) -> str:
    if choices.rarely(8):
        return choices.made(choices.text, lambda: choices.long(_LONGEST_NAME), lambda: "*")
    return choices.one(*NAMES)
