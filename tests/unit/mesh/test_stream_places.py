import pytest

from tokend_server.errors import TooManyRequests
from tokend_server.mesh.stream_places import StreamPlaces


def places(most: int = 4, most_of_party: int = 4) -> tuple[StreamPlaces, list[None]]:
    refusals: list[None] = []
    return StreamPlaces(most, most_of_party, lambda: refusals.append(None)), refusals


def take(slots: StreamPlaces, party: str, count: int) -> None:
    for _ in range(count):
        slots.acquire(party)


def test_a_party_has_no_more_than_its_own_limit() -> None:
    slots, refusals = places(most_of_party=2)
    take(slots, "a", 2)
    with pytest.raises(TooManyRequests):
        slots.acquire("a")
    assert (slots.in_use, len(refusals)) == (2, 1)


def test_when_all_are_taken_those_with_their_share_are_refused() -> None:
    slots, _ = places()
    take(slots, "a", 4)
    slots.acquire("b")
    with pytest.raises(TooManyRequests):
        slots.acquire("a")


def test_a_new_caller_gets_its_share_of_places_when_all_are_taken() -> None:
    slots, _ = places()
    take(slots, "a", 4)
    take(slots, "b", 2)
    with pytest.raises(TooManyRequests):
        slots.acquire("b")


def test_a_released_place_can_be_taken() -> None:
    slots, _ = places(most=1)
    slots.acquire("a")
    slots.release("a")
    slots.acquire("b")
    assert slots.in_use == 1
