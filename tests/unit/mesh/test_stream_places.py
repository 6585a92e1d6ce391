from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tokend_server.errors import TooManyRequests
from tokend_server.mesh.stream_places import StreamPlaces


def places(most: int = 4, most_of_party: int = 4) -> tuple[StreamPlaces, list[None]]:
    refusals: list[None] = []
    return StreamPlaces(most, most_of_party, lambda: refusals.append(None)), refusals


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def take(held: ExitStack, slots: StreamPlaces, party: str, count: int = 1) -> None:
    for _ in range(count):
        held.enter_context(slots.holding(party))


def test_a_party_has_no_more_than_its_own_limit(held: ExitStack) -> None:
    slots, refusals = places(most_of_party=2)
    take(held, slots, "a", 2)
    with pytest.raises(TooManyRequests):
        take(held, slots, "a")
    assert (slots.in_use, len(refusals)) == (2, 1)


def test_a_party_alone_gets_all_places_and_no_more(held: ExitStack) -> None:
    slots, _ = places(most_of_party=8)
    take(held, slots, "a", 4)
    with pytest.raises(TooManyRequests):
        take(held, slots, "a")


def test_a_caller_with_its_share_is_refused_when_all_places_are_in_use(held: ExitStack) -> None:
    slots, _ = places()
    take(held, slots, "a", 4)
    take(held, slots, "b")
    with pytest.raises(TooManyRequests):
        take(held, slots, "a")


def test_a_new_caller_gets_its_share_of_places_when_all_are_taken(held: ExitStack) -> None:
    slots, _ = places()
    take(held, slots, "a", 4)
    take(held, slots, "b", 2)
    with pytest.raises(TooManyRequests):
        take(held, slots, "b")


def test_a_released_place_can_be_taken() -> None:
    slots, _ = places(most=1)
    with slots.holding("a"):
        assert slots.in_use == 1
    with slots.holding("b"):
        assert slots.in_use == 1
