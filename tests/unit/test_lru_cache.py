from concurrent.futures import ThreadPoolExecutor

from tokend_server.lru_cache import LruCache


def test_the_least_recently_used_value_is_evicted() -> None:
    latest = LruCache[str](2)
    latest.put(b"a", "1")
    latest.put(b"b", "2")
    assert latest.get(b"a") == "1"
    latest.put(b"c", "3")
    assert [latest.get(key) for key in (b"a", b"b", b"c")] == ["1", None, "3"]


def test_a_new_value_replaces_the_old_one_and_counts_as_used() -> None:
    latest = LruCache[str](2)
    for key, value in [(b"a", "1"), (b"b", "2"), (b"a", "3"), (b"c", "4")]:
        latest.put(key, value)
    assert (len(latest), latest.get(b"a"), latest.get(b"b")) == (2, "3", None)


def test_a_cache_of_size_zero_keeps_nothing() -> None:
    latest = LruCache[str](0)
    latest.put(b"a", "1")
    assert (len(latest), latest.get(b"a")) == (0, None)


def test_concurrent_threads_do_not_exceed_the_maximum_size() -> None:
    latest = LruCache[int](10)

    def use(number: int) -> None:
        latest.put(number.to_bytes(2), number)
        assert latest.get(number.to_bytes(2)) in {number, None}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(1000)))
    assert len(latest) == 10
