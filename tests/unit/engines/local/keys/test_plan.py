import math
from dataclasses import replace

import pytest

from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.plan import Action, Step, key_set_age, next_key, next_rotation, plan, replacement
from tokend_server.model import Secret

ES256 = SigningAlgorithm.ES256
HOUR, DAY = 3600, 86_400
NOW = 1_800_000_000
TIMES = KeyTimes()
EVERY, LAST, SKEW = 30 * DAY, TIMES.tokens_last, TIMES.clock_skew
UNROTATED = KeyTimes(rotate_every=None)


def key(generation: int, signs_from: int, algorithm: SigningAlgorithm = ES256) -> SigningKey:
    return SigningKey(f"{algorithm.value}-{generation}", algorithm, generation, Secret("pem"), signs_from, signs_from)


def add(at: int, generation: int, signs_from: int) -> Step:
    return Step(at, Action.ADD, ES256, generation, None, signs_from)


def sign(key: SigningKey) -> Step:
    return Step(key.signs_from, Action.SIGN, ES256, key.generation, key.kid, key.signs_from)


def remove(key: SigningKey, at: int) -> Step:
    return Step(at, Action.REMOVE, ES256, key.generation, key.kid, key.signs_from)


def test_no_key_is_planned_for_an_algorithm_without_keys() -> None:
    assert plan([key(1, NOW, SigningAlgorithm.RS256)], ES256, TIMES, NOW) == []


@pytest.mark.parametrize("age", [0, DAY, EVERY - HOUR - 1])
def test_the_next_key_is_added_an_hour_before_the_rotation(age: int) -> None:
    first = key(1, NOW)
    assert plan([first], ES256, TIMES, NOW + age) == [add(NOW + EVERY - HOUR, 2, NOW + EVERY)]


@pytest.mark.parametrize("late", [0, 1, 7 * DAY])
def test_a_late_rotation_publishes_the_key_for_as_long_as_usual(late: int) -> None:
    (step,) = plan([key(1, NOW)], ES256, TIMES, NOW + EVERY - HOUR + late)
    assert step == add(NOW + EVERY - HOUR, 2, NOW + EVERY + late)


def test_a_waiting_key_signs_and_its_predecessor_is_removed_later() -> None:
    first, second = key(1, NOW - EVERY), key(2, NOW + 10)
    assert plan([first, second], ES256, TIMES, NOW) == [
        sign(second),
        remove(first, NOW + 10 + LAST),
        add(NOW + 10 + EVERY - HOUR, 3, NOW + 10 + EVERY),
    ]


def test_without_rotation_keys_are_only_removed() -> None:
    first, second = key(1, NOW - EVERY), key(2, NOW - 1)
    assert plan([first, second], ES256, UNROTATED, NOW) == [remove(first, NOW - 1 + LAST)]


def test_an_algorithm_that_no_pool_uses_has_no_further_keys() -> None:
    first, second = key(1, NOW - 9 * EVERY), key(2, NOW - 8 * EVERY)
    assert plan([first, second], ES256, TIMES, NOW, in_use=False) == [remove(first, NOW - 8 * EVERY + LAST)]
    assert plan([], ES256, TIMES, NOW, in_use=False) == []


def test_an_overtaken_key_never_signs_and_is_removed_with_the_previous_key() -> None:
    first, second, third = key(1, NOW - DAY), key(2, NOW + HOUR), key(3, NOW)
    assert plan([first, second, third], ES256, UNROTATED, NOW) == [
        remove(first, NOW + LAST),
        remove(second, NOW + LAST),
    ]


def test_a_key_of_a_clock_that_was_far_ahead_does_not_stop_rotation() -> None:
    first, stray = key(1, NOW - EVERY), key(2, NOW + 365 * DAY)
    assert plan([first, stray], ES256, TIMES, NOW)[0] == add(NOW - HOUR, 3, NOW + HOUR)
    third = key(3, NOW + HOUR)
    assert plan([first, stray, third], ES256, TIMES, NOW)[0] == sign(third)
    assert all(
        step.kid != stray.kid or step.action is Action.REMOVE for step in plan([first, stray, third], ES256, TIMES, NOW)
    )


def test_after_clocks_were_far_ahead_a_key_is_added_immediately() -> None:
    assert plan([key(1, NOW + 365 * DAY)], ES256, TIMES, NOW)[0] == add(NOW, 2, NOW + HOUR)


@pytest.mark.parametrize("back", [1, SKEW, 10 * DAY])
def test_a_clock_that_was_set_back_adds_no_key(back: int) -> None:
    first = key(1, NOW)
    assert [step for step in plan([first], ES256, TIMES, NOW - back) if step.at <= NOW] == []


@pytest.mark.parametrize("ahead", [0, SKEW])
def test_a_step_done_by_one_server_is_not_due_at_another(ahead: int) -> None:
    """With clocks that differ within the limit."""
    now = NOW + EVERY - HOUR
    second = key(2, now + HOUR)
    for clock in (now - SKEW, now, now + ahead):
        assert not any(step.at <= clock for step in plan([key(1, NOW), second], ES256, TIMES, clock))


def test_a_requested_rotation_uses_a_waiting_key_or_adds_one() -> None:
    first, second = key(1, NOW - DAY), key(2, NOW + 60)
    assert next_key([first], ES256, TIMES, NOW + 0.5) == add(NOW, 2, NOW + HOUR)
    assert next_key([first, second], ES256, TIMES, NOW) == sign(second)
    assert next_key([first, key(2, NOW + HOUR + 1)], ES256, TIMES, NOW) == add(NOW, 3, NOW + HOUR)
    assert next_key([], ES256, TIMES, NOW) == add(NOW, 1, NOW + HOUR)


def test_a_compromised_signing_key_is_replaced_by_a_key_that_signs_immediately() -> None:
    first, second = key(1, NOW - DAY), key(2, NOW + HOUR)
    keys = [first, second]
    assert replacement(keys, first, TIMES, NOW) == [add(NOW, 3, NOW - SKEW), remove(first, NOW)]
    assert replacement(keys, second, TIMES, NOW) == [remove(second, NOW)]
    about_to_sign = NOW + HOUR - TIMES.about_to_sign
    assert replacement(keys, second, TIMES, about_to_sign) == [
        add(about_to_sign, 3, about_to_sign - SKEW),
        remove(second, about_to_sign),
    ]
    assert replacement(keys, first, TIMES, NOW, in_use=False) == [remove(first, NOW)]
    assert replacement([*keys, key(3, NOW - SKEW)], first, TIMES, NOW) == [remove(first, NOW)]


@pytest.mark.parametrize(
    ("keys", "times", "expected"),
    [
        ([key(1, NOW - DAY)], TIMES, NOW - DAY + EVERY),
        ([key(1, NOW - EVERY - 5)], TIMES, NOW - 5),
        ([key(1, NOW - DAY), key(2, NOW + 9)], TIMES, NOW + 9),
        ([key(1, NOW - DAY), key(2, NOW + 9)], UNROTATED, NOW + 9),
        ([key(1, NOW - DAY)], UNROTATED, math.inf),
        ([key(1, NOW - EVERY - 5), key(2, NOW + 365 * DAY)], TIMES, NOW - 5),
        ([], TIMES, math.inf),
    ],
)
def test_the_next_rotation_stays_in_the_past_until_a_key_comes(
    keys: list[SigningKey], times: KeyTimes, expected: float
) -> None:
    assert next_rotation(keys, ES256, times, NOW) == expected


@pytest.mark.parametrize(
    ("since_reading", "unpublished", "age"),
    [
        (0, [], 300),
        (HOUR - SKEW - 300, [], 300),
        (HOUR - SKEW - 299.5, [], 299),
        (HOUR - SKEW - 1, [], 1),
        (HOUR, [], 0),
        (2, [key(2, NOW + HOUR)], 300),
        (2, [key(2, NOW + SKEW + 7)], 7),
        (2, [key(2, NOW + SKEW + 7), key(3, NOW)], 0),
    ],
)
def test_key_sets_expire_before_an_unpublished_key_may_sign(
    since_reading: float, unpublished: list[SigningKey], age: int
) -> None:
    assert key_set_age(TIMES, since_reading, unpublished, NOW) == age


@pytest.mark.parametrize(("when_seen", "age"), [(True, 7), (False, 300)])
def test_key_sets_expire_before_a_key_may_sign_early(*, when_seen: bool, age: int) -> None:
    times = KeyTimes(when_seen=when_seen)
    lacking = replace(key(2, NOW + HOUR), creation_date=NOW - times.min_signing_delay + SKEW + 7)
    assert key_set_age(times, 0, [lacking], NOW) == age


def test_without_publication_time_key_sets_are_not_cached() -> None:
    assert key_set_age(KeyTimes(publish_before=0, cache_age=0), 0, [], NOW) == 0
