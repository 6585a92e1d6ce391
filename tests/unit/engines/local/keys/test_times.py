from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from tokend_server.config import PolicySettings
from tokend_server.engines.local.keys.times import KEY_TIMES, KeyTimes
from tokend_server.errors import ConfigError

DAY = 86_400


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"refresh": 0}, r"refresh \(0 s\) must be above 0: processes would never follow"),
        ({"cache_age": 3599}, r"below refresh \+ cache_age \(3601.0 s\): verifiers would refuse the first tokens"),
        ({"publish_ahead": 301}, r"publish_ahead \(301 s\) must not be below refresh \+ cache_age \(302.0 s\)"),
        ({"about_to_sign": 2}, r"about_to_sign \(2 s\) must be above refresh \(2.0 s\): a process that has not read"),
        ({"about_to_sign": 3600}, r"above about_to_sign \(3600 s\): a key that was added by mistake could never"),
        ({"tokens_last": DAY + 1}, r"tokens_last \(86401 s\) .* a key could be taken out while tokens"),
    ],
)
def test_a_relation_that_is_broken_is_named_with_what_it_would_break(changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        replace(KEY_TIMES, **changed)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"cache_age": 3598},
        {"publish_ahead": 302},
        {"about_to_sign": 3},
        {"about_to_sign": 3599},
        {"tokens_last": DAY + 2},
    ],
)
def test_times_that_just_fit_are_taken(changed: dict[str, Any]) -> None:
    assert replace(KEY_TIMES, **changed) != KEY_TIMES


def test_all_broken_relations_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        KeyTimes(publish_ahead=10, cache_age=20, refresh=30, about_to_sign=15, tokens_last=0)
    assert len(caught.value.problems) == 4


def test_no_policy_grants_tokens_that_last_longer_than_keys_allow() -> None:
    row = PolicySettings.model_validate({"callers": ["a"], "pools": ["*"], "operations": ["*"]})
    longest = KEY_TIMES.old_key_stops_by - KEY_TIMES.refresh
    for seconds, problems in ((longest, 0), (longest + 1, 1)):
        assert len(problems_of(row.model_dump() | {"max_token_duration_seconds": seconds})) == problems


def problems_of(row: dict[str, Any]) -> list[Any]:
    try:
        PolicySettings.model_validate(row)
    except ValidationError as error:
        return list(error.errors())
    return []
