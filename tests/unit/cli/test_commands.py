import gc
from unittest import mock

from tokend_server.cli import tokend


def test_each_command_is_loaded_under_its_own_name() -> None:
    assert {name: command.name for name, command in tokend.commands.items()} == {name: name for name in tokend.commands}


def test_loading_a_command_freezes_objects_and_enables_garbage_collection() -> None:
    gc.disable()
    try:
        with mock.patch.object(gc, "freeze") as freeze:  # the tests' own objects stay collectable
            assert tokend.commands["serve"]
        assert gc.isenabled()
    finally:
        gc.enable()
    freeze.assert_called_once_with()
