from tests.support.replacing import replaced


def test_an_inserted_value_is_not_replaced_again() -> None:
    assert replaced("a: 1, b: 2", {"a: 1": "a: 20", "b: 2": "b: 3", "a: 2": "?"}) == "a: 20, b: 3"


def test_the_longest_key_is_replaced() -> None:
    assert replaced("issuer, issuer/keys", {"issuer": "x", "issuer/keys": "y"}) == "x, y"


def test_keys_are_not_regular_expressions() -> None:
    assert replaced("1.1 121", {"1.1": r"\1"}) == r"\1 121"


def test_without_keys_the_text_stays() -> None:
    assert replaced("a", {}) == "a"
