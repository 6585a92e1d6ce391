"""The conformance cases of clients: the format of the files in tests/conformance/cases, parsed and checked."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias

CASES = Path(__file__).parents[1] / "conformance" / "cases"

OPERATIONS = (
    "GetOpenIdTokenForDeveloperIdentity",
    "LookupDeveloperIdentity",
    "MergeDeveloperIdentities",
    "UnlinkDeveloperIdentity",
)
CONDUCTOR_PATHS = ("/release", "/reset", "/stop", "/start", "/rotate", "/hang")
SERVERS = ("served", "scripted", "replicas")

_MAX_USERS = 10_000

#: Long enough for a busy machine; players of other languages use the same.
_REFRESH_TIMEOUT_SECONDS = 60

Json: TypeAlias = Any


@dataclass(frozen=True)
class ExpectedError:
    """The expected typed error of a client; None means any value, except for `reason`.

    Attributes:
        code: The name of the status code.
        reason: The reason; None for none.
        aws_error_code: The Cognito exception.
        aws_request_id: Whether it has the id of a request to Cognito.
        retry_delay: Whether it has a retry delay.
        violations: The fields of the BadRequest, as a set.
        resource_type: The type of the ResourceInfo.
        downstream: The code with which an interceptor fails the service's own call.
    """

    code: str
    reason: str | None
    aws_error_code: str | None = None
    aws_request_id: bool | None = None
    retry_delay: bool | None = None
    violations: list[str] | None = None
    resource_type: str | None = None
    downstream: str | None = None


@dataclass(frozen=True)
class Call:
    """A single call: `response` is a part of the expected message in protobuf's JSON, unless it must fail."""

    operation: str
    request: Mapping[str, Json]
    timeout_ms: int | None
    response: Json
    error: ExpectedError | None
    remember: Mapping[str, str]


@dataclass(frozen=True)
class AskToken:
    """Requests a token from a source, from `parallel` threads at once.

    Attributes:
        source: Its name; its first use also has `request`.
        token: The name of the expected token; the first use of a name assigns it to any token.
        other_than: The name of an unexpected token; the received one gets the name `remember`.
        error: The expected error instead.
        close: Whether to close everything as soon as the call of the refresh is in flight.
    """

    source: str
    request: Mapping[str, Json] | None
    timeout_ms: int | None
    parallel: int
    token: str | None
    other_than: str | None
    remember: str | None
    error: ExpectedError | None
    close: bool


@dataclass(frozen=True)
class Stampede:
    """Requests the tokens of this many users from the cache at once; all must arrive.

    Attributes:
        request: The request; `${number}` in it is a different number for each user.
        users: The number of users.
        most_at_once: The maximum number of concurrent calls.
    """

    request: Mapping[str, Json]
    users: int
    most_at_once: int


@dataclass(frozen=True)
class Invalidate:
    """Invalidates a token, given by its name, in a source."""

    token: str
    source: str


@dataclass(frozen=True)
class MoveWallClock:
    """Moves the client's wall clock, but not its monotonic clock, by this many seconds."""

    seconds: float


@dataclass(frozen=True)
class Advance:
    """Moves both of the client's clocks: to a time of a source's snapshot plus `seconds`, or by `seconds`.

    A time of a snapshot is reached when the snapshot's age is that time minus its `issue_time`: a runner records the
    clock's reading when it first sees a snapshot.
    """

    seconds: float
    source: str | None = None
    to: Literal["refresh_time", "expire_time"] | None = None


@dataclass(frozen=True)
class AwaitRefresh:
    source: str


@dataclass(frozen=True)
class Conduct:
    path: str


@dataclass(frozen=True)
class Verify:
    token: str
    claims: Mapping[str, Json]


@dataclass(frozen=True)
class Judge:
    """Passes a token of the issuer `${login_issuer}` to the client's verifier.

    Attributes:
        token: Its differences from a valid one, for the conductor's /sign.
        identity_pool_ids: The verifier's pools.
        identity: The expected identity, as `identityId`, `identityPoolId` and `principalTags`; None if the token must
            be rejected.
    """

    token: Mapping[str, Json]
    identity_pool_ids: list[str]
    identity: Mapping[str, Json] | None


@dataclass(frozen=True)
class Mark:
    name: str


@dataclass(frozen=True)
class CountCalls:
    """The expected number of token calls since a mark."""

    since: str
    at_most: int | None = None
    exactly: int | None = None


Step: TypeAlias = (
    Call
    | AskToken
    | Stampede
    | Invalidate
    | MoveWallClock
    | Advance
    | AwaitRefresh
    | Conduct
    | Verify
    | Judge
    | Mark
    | CountCalls
)


@dataclass(frozen=True)
class Case:
    """A case. Its texts, and those of its steps, may contain variables as `${name}`.

    Attributes:
        server: Its server: the one that the conductor stops and starts, the scripted one, or both replicas.
        max_users: The maximum number of users in its cache.
        refresh_timeout_seconds: The deadline of its refreshes; 0 for the client's default.
    """

    name: str
    why: str
    variables: Mapping[str, Json]
    steps: tuple[Step, ...]
    server: str
    max_users: int
    refresh_timeout_seconds: float


def load_cases(directory: Path = CASES) -> list[Case]:
    """Returns the cases, in order of their names.

    Raises:
        ValueError: A file is not a valid case.
    """
    return [_case(path) for path in sorted(directory.glob("*.json"))]


def _case(path: Path) -> Case:
    document = json.loads(path.read_text(encoding="utf-8"))
    try:
        _only(document, "name", "why", "variables", "steps", "server", "max_users", "refresh_timeout_seconds")
        case = Case(
            document["name"],
            document["why"],
            document.get("variables", {}),
            tuple(_steps(document["steps"])),
            _one_of(document.get("server", SERVERS[0]), *SERVERS),
            document.get("max_users", _MAX_USERS),
            document.get("refresh_timeout_seconds", _REFRESH_TIMEOUT_SECONDS),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name}: {error!r}") from error
    if case.name != path.stem:
        raise ValueError(f"{path.name}: the name must be that of the file")
    return case


def _steps(steps: list[dict[str, Json]]) -> Iterator[Step]:
    for step in steps:
        kind = next((kind for kind in _STEPS if kind in step), None)
        if kind is None:
            raise ValueError(f"no such step: {step}")
        yield _STEPS[kind](step)


def _call(step: dict[str, Json]) -> Call:
    _only(step, "call", "request", "timeout_ms", "expect", "remember")
    expect = _only(step["expect"], "response", "error")
    if len(expect) != 1:
        raise ValueError(f"expects one of response and error: {step}")
    return Call(
        _one_of(step["call"], *OPERATIONS),
        step["request"],
        step.get("timeout_ms"),
        expect.get("response"),
        _error(expect),
        step.get("remember", {}),
    )


def _ask(step: dict[str, Json]) -> AskToken:
    _only(step, "token", "request", "timeout_ms", "parallel", "expect", "remember", "close")
    expect = _only(step["expect"], "token", "error")
    token = expect.get("token")
    other_than = _only(token, "not")["not"] if isinstance(token, dict) else None
    if len(expect) != 1 or (other_than is None) != ("remember" not in step):
        raise ValueError(f"expects a token, another token under a name of its own, or an error: {step}")
    return AskToken(
        step["token"],
        step.get("request"),
        step.get("timeout_ms"),
        step.get("parallel", 1),
        token if isinstance(token, str) else None,
        other_than,
        step.get("remember"),
        _error(expect),
        step.get("close", False),
    )


def _invalidate(step: dict[str, Json]) -> Invalidate:
    _only(step, "invalidate", "source")
    return Invalidate(step["invalidate"], step["source"])


def _advance(step: dict[str, Json]) -> Advance:
    advance = Advance(**_only(step, "advance")["advance"])
    if (advance.source is None) != (advance.to is None) or advance.to not in {None, "refresh_time", "expire_time"}:
        raise ValueError(f"advances to a time of a source: {step}")
    return advance


def _verify(step: dict[str, Json]) -> Verify:
    _only(step, "verify", "expect")
    return Verify(step["verify"], _only(step["expect"], "claims")["claims"])


def _judge(step: dict[str, Json]) -> Judge:
    _only(step, "judge", "identity_pool_ids", "expect")
    expect = _only(step["expect"], "identity", "rejected")
    if len(expect) != 1 or expect.get("rejected", True) is not True:
        raise ValueError(f"expects one of an identity and rejected: {step}")
    token = _only(step["judge"], "claims", "without", "from_now", "header", "after")
    return Judge(token, step["identity_pool_ids"], expect.get("identity"))


def _count_calls(step: dict[str, Json]) -> CountCalls:
    count = CountCalls(**_only(step, "count_calls")["count_calls"])
    if (count.at_most is None) == (count.exactly is None):
        raise ValueError(f"counts at_most or exactly: {step}")
    return count


def _error(expect: dict[str, Json]) -> ExpectedError | None:
    error = expect.get("error")
    return None if error is None else ExpectedError(**_only(error, *(field.name for field in fields(ExpectedError))))


_STEPS: Mapping[str, Callable[[dict[str, Json]], Step]] = {
    "call": _call,
    "token": _ask,
    "stampede": lambda step: Stampede(**_only(step, "stampede")["stampede"]),
    "invalidate": _invalidate,
    "move_wall_clock": lambda step: MoveWallClock(**_only(step, "move_wall_clock")["move_wall_clock"]),
    "advance": _advance,
    "await_refresh": lambda step: AwaitRefresh(_only(step, "await_refresh")["await_refresh"]),
    "conductor": lambda step: Conduct(_one_of(_only(step, "conductor")["conductor"], *CONDUCTOR_PATHS)),
    "verify": _verify,
    "judge": _judge,
    "mark": lambda step: Mark(_only(step, "mark")["mark"]),
    "count_calls": _count_calls,
}


def _only(members: dict[str, Json], *known: str) -> dict[str, Json]:
    if unknown := members.keys() - set(known):
        raise ValueError(f"unknown members: {sorted(unknown)}")
    return members


def _one_of(value: str, *known: str) -> str:
    if value not in known:
        raise ValueError(f"{value!r} is none of {known}")
    return value
