import pytest

from tokend_server.errors import TooManyRequests
from tokend_server.mesh.stream_places import StreamPlaces


def places(most: int = 4, most_of_party: int = 4) -> tuple[StreamPlaces, list[None]]:
    refusals: list[None] = []
    return StreamPlaces(most, most_of_party, lambda: refusals.append(None)), refusals


def take(held: StreamPlaces, party: str, count: int) -> None:
    for _ in range(count):
        held.acquire(party)


def test_a_party_has_no_more_than_its_own_limit() -> None:
    held, refusals = places(most_of_party=2)
    take(held, "a", 2)
    with pytest.raises(TooManyRequests):
        held.acquire("a")
    assert (held.in_use, len(refusals)) == (2, 1)


def test_when_all_are_taken_those_with_their_share_are_refused() -> None:
    held, _ = places()
    take(held, "a", 4)
    held.acquire("b")
    with pytest.raises(TooManyRequests):
        held.acquire("a")


def test_a_new_caller_gets_its_share_of_places_when_all_are_taken() -> None:
    held, _ = places()
    take(held, "a", 4)
    take(held, "b", 2)
    with pytest.raises(TooManyRequests):
        held.acquire("b")


def test_a_released_place_can_be_taken() -> None:
    held, _ = places(most=1)
    held.acquire("a")
    held.release("a")
    held.acquire("b")
    assert held.in_use == 1
