from tokend_server.cli import tokend


def test_each_command_is_found_where_the_table_has_it() -> None:
    assert {name: command.name for name, command in tokend.commands.items()} == {name: name for name in tokend.commands}
