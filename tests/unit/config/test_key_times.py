from typing import Any

import pytest
from pydantic import ValidationError

from tokend_server.config import Config, Keys, KeyTimes, PolicySettings, load_config
from tokend_server.errors import ConfigError

HOUR, DAY = 3600, 86_400


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"refresh": 0}, r"refresh \(0 s\) must be above 0: servers would never read the store again"),
        ({"cache_age": 3299}, r"cache_age \+ clock_skew \(3601 s\): verifiers would refuse the first tokens"),
        ({"publish_before": 601}, r"publish_before \(601 s\) must not be below refresh .* \(602 s\)"),
        ({"about_to_sign": 302}, r"about_to_sign \(302 s\) must be above .* \(302 s\): a server that has not yet read"),
        ({"about_to_sign": 3600}, r"above about_to_sign \(3600 s\): a key that was added by mistake could never"),
        ({"tokens_last": DAY + 601}, r"tokens_last \(87001 s\) .* a key could be removed while tokens"),
        ({"longest_token": DAY + 599}, r"longest_token \(87601 s\): a key could be removed"),
        (
            {"when_seen": True, "publish_before": 660},
            r"publish_before \(660 s\) must be above .* \(660 s\) if keys sign",
        ),
        ({"when_seen": True, "rotate_every": 7199}, r"rotate_every \(7199 s\) must not be below twice .* \(7200 s\)"),
        ({"rotate_every": 2941}, r"33 keys of an algorithm published at once, more than 32: verifiers would refuse"),
    ],
)
def test_an_invalid_relation_of_times_is_reported_with_its_consequence(changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        KeyTimes(**changed)
    assert len(caught.value.problems) == 1 + (changed.get("cache_age") == 3299)


@pytest.mark.parametrize(
    "changed",
    [
        {"cache_age": 898},
        {"publish_before": 602},
        {"about_to_sign": 303},
        {"about_to_sign": 3599},
        {"tokens_last": DAY + 602},
        {"rotate_every": 2942},
        {"rotate_every": None},
        {"when_seen": True, "publish_before": 661},
        {"when_seen": True, "rotate_every": 7200},
        {"publish_before": 0, "cache_age": 0},
    ],
)
def test_times_at_the_limits_are_accepted(changed: dict[str, Any]) -> None:
    assert KeyTimes(**changed) != KeyTimes()


def test_all_invalid_relations_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        KeyTimes(rotate_every=1, publish_before=10, cache_age=20, refresh=30, about_to_sign=15, tokens_last=1)
    assert [problem.split()[0] for problem in caught.value.problems] == [
        "about_to_sign",
        "publish_before",
        "publish_before",
        "tokens_last",
    ]


def test_no_policy_grants_tokens_that_last_longer_than_keys_allow() -> None:
    row = PolicySettings.model_validate({"callers": ["a"], "pools": ["*"], "operations": ["*"]})
    longest = KeyTimes().longest_token
    for seconds, problems in ((longest, 0), (longest + 1, 1)):
        assert len(problems_of(row.model_dump() | {"max_token_duration_seconds": seconds})) == problems


def problems_of(row: dict[str, Any]) -> list[Any]:
    try:
        PolicySettings.model_validate(row)
    except ValidationError as error:
        return list(error.errors())
    return []


def test_the_times_are_those_of_the_settings() -> None:
    assert Config().keys.times == Keys().times == KeyTimes()
    given = Keys(rotate_every="12h", publish_before="90m").times
    assert (given.rotate_every, given.publish_before, given.cache_age) == (12 * HOUR, 90 * 60, 300)
    assert Keys(rotate_every="off").times.rotate_every is None


@pytest.mark.parametrize(("publish_before", "cache_age"), [("390s", 60), ("10m", 270), ("631s", 300), ("off", 0)])
def test_the_cache_age_is_shorter_if_keys_are_published_shortly_before_use(publish_before: str, cache_age: int) -> None:
    assert Keys(publish_before=publish_before).times.cache_age == cache_age


@pytest.mark.parametrize("duration", ["", "30", "d", "-1d", "0s", "1.5h", "30 d", "30D", "1w", "3651d", "OFF"])
@pytest.mark.parametrize("name", ["rotate_every", "publish_before"])
def test_an_invalid_duration_is_rejected(name: str, duration: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TOKEND_KEYS_{name}".upper(), duration)
    with pytest.raises(ConfigError) as caught:
        load_config(None)
    (problem,) = caught.value.problems
    assert problem.startswith(f"keys.{name}: must ")


def test_incompatible_times_are_reported_with_their_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEND_KEYS_PUBLISH_BEFORE", "5m")
    monkeypatch.setenv("TOKEND_KEYS_ROTATE_EVERY", "1m")
    with pytest.raises(ConfigError) as caught:
        load_config(None)
    assert [problem.partition(" (")[0] for problem in caught.value.problems] == [
        "keys: publish_before",
        "keys: publish_before",
        "keys: rotate_every",
    ]
