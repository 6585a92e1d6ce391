"""A tokend with a non-private memory, so that tests without root can count its descriptors."""

import runpy

from tokend_server.process import private_memory


def _leave_as_it_is() -> None:
    pass


if __name__ == "__main__":
    private_memory.keep_memory_private = _leave_as_it_is
    runpy.run_module("tokend_server", run_name="__main__", alter_sys=True)
