"""The start of the programs, tokendctl and tokend-agent."""

import gc
from collections.abc import Callable

import pytest

from tokend_client import agent, tokendctl


@pytest.mark.parametrize("main", [agent.main, tokendctl.main])
def test_loaded_objects_are_frozen_and_garbage_collection_is_enabled(
    monkeypatch: pytest.MonkeyPatch, main: Callable[[], None]
) -> None:
    frozen: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))  # the tests' own objects stay collectable
    monkeypatch.setattr("sys.argv", ["program", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert frozen
    assert gc.isenabled()
