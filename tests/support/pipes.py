"""Pipes that tests write and read, or leave unread."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Pipe(NamedTuple):
    reader: int
    writer: int

    def drain(self) -> bytes:
        """Returns the current content of the pipe."""
        os.set_blocking(self.reader, False)
        chunks = []
        try:
            while chunk := os.read(self.reader, 65536):
                chunks.append(chunk)
        except BlockingIOError:
            pass
        os.set_blocking(self.reader, True)
        return b"".join(chunks)

    def read(self, size: int) -> bytes:
        """Reads this many bytes as they arrive."""
        data = b""
        while len(data) < size:
            data += os.read(self.reader, 65536)
        return data


@contextmanager
def open_pipe() -> Iterator[Pipe]:
    pipe = Pipe(*os.pipe())
    yield pipe
    for descriptor in pipe:
        try:
            os.close(descriptor)
        except OSError:
            assert descriptor == pipe.reader  # the one that tests close
