import gc
from unittest import mock

from tokend_server.cli import tokend


def test_each_command_is_found_where_the_table_has_it() -> None:
    assert {name: command.name for name, command in tokend.commands.items()} == {name: name for name in tokend.commands}


def test_garbage_is_collected_once_a_command_is_loaded() -> None:
    gc.disable()
    try:
        with mock.patch.object(gc, "freeze") as freeze:  # the tests' own objects stay collectable
            assert tokend.commands["serve"]
        assert gc.isenabled()
    finally:
        gc.enable()
    freeze.assert_called_once_with()
