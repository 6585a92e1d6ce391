"""tokend, whose descriptors a test may count that does not run as root: its memory is not kept private."""

import runpy

from tokend_server.process import private_memory


def _leave_as_it_is() -> None:
    pass


if __name__ == "__main__":
    private_memory.keep_memory_private = _leave_as_it_is
    runpy.run_module("tokend_server", run_name="__main__", alter_sys=True)
