"""Plays a scenario: fills in each step, makes its call, and records the result in the scenario's format."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tests.conformance.differences import Difference, differences
from tests.conformance.names import Json, Names, names_in
from tests.conformance.scenario import CREATE_GUEST, Step
from tests.conformance.shapes import shaped

#: Calls an operation with a request; returns the response or the error, as `shaped` takes them.
Caller: TypeAlias = Callable[[str, Mapping[str, Json]], Json]

#: Makes an unauthenticated identity in a pool and returns its id.
CreateGuest: TypeAlias = Callable[[str], str]


class GuestsRefused(Exception):
    """Raised when a pool does not create guests; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Played:
    """A step after its turn.

    Attributes:
        step: The step.
        expected: Its expectation, with the values of this run.
        seen: The result; None if it was not played.
        why_not: Why it was not played.
    """

    step: Step
    expected: Json
    seen: Json | None = None
    why_not: str = ""

    @property
    def differences(self) -> list[Difference]:
        """Returns the differences between the result and the expectation; none if the step was not played."""
        return [] if self.seen is None else differences(self.expected, self.seen)


Transcript: TypeAlias = tuple[Played, ...]


def play(scenario: Iterable[Step], caller: Caller, create_guest: CreateGuest, names: Names) -> Transcript:
    """Plays the steps in order; what they remember is added to the names.

    A step is not played outside its regions, without the guests that a pool refuses, and without what an earlier step
    would have had to remember.
    """
    region = names["pool"].partition(":")[0]
    return tuple(_played(step, region, caller, create_guest, names) for step in scenario)


def _played(step: Step, region: str, caller: Caller, create_guest: CreateGuest, names: Names) -> Played:
    if not step.is_for(region):
        return Played(step, step.expect, why_not=f"not asked in {region}")
    needed = names_in(step.request) | names_in(step.expect) - step.remember.keys()
    if missing := sorted(name for name in needed if name not in names):
        return Played(step, step.expect, why_not="needs " + ", ".join(f"${{{name}}}" for name in missing))
    request = names.filled(step.request)
    try:
        if step.operation == CREATE_GUEST:
            answer = {"IdentityId": create_guest(request["IdentityPoolId"])}
        else:
            answer = caller(step.operation, request)
    except GuestsRefused as refusal:
        return Played(step, step.expect, why_not=str(refusal))
    for name, member in step.remember.items():
        if member in answer:
            names.remember(name, answer[member])
    return Played(step, names.listed(step.expect), names.shown(shaped(answer)))
