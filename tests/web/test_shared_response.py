"""Responses that are rendered once for many requests."""

import asyncio
import threading
import time

from tests.support.grpc_service import TIMEOUT

from tokend_server.web.message import Request, Response, plain_text
from tokend_server.web.shared_response import SharedResponse

REQUEST = Request("/", {})


class Making:
    """Renders numbered responses, each when it is released."""

    def __init__(self) -> None:
        self.count = 0
        self.begun = threading.Event()
        self.released = threading.Event()

    def __call__(self) -> Response:
        self.count += 1
        number = self.count
        self.begun.set()
        assert self.released.wait(TIMEOUT)
        return plain_text(f"{number}")


class Sleeper:
    """Records for how long it should sleep, without sleeping."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.notified = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.notified.set()


def test_requests_during_rendering_share_the_next_response() -> None:
    making = Making()

    async def ask() -> list[bytes]:
        page = SharedResponse(making)
        first = page(REQUEST)
        await asyncio.to_thread(making.begun.wait, TIMEOUT)
        later = [page(REQUEST) for _ in range(100)]
        making.released.set()
        return [(await answer).body for answer in (first, *later)]

    assert asyncio.run(ask()) == [b"1"] + [b"2"] * 100
    assert making.count == 2


def test_a_later_request_renders_a_new_response() -> None:
    making = Making()
    making.released.set()

    async def ask() -> list[bytes]:
        page = SharedResponse(making)
        return [(await page(REQUEST)).body for _ in range(3)]

    assert asyncio.run(ask()) == [b"1", b"2", b"3"]


def test_a_failure_is_returned_to_waiting_requests_and_not_cached() -> None:
    answers = [plain_text("made"), None]

    def make() -> Response:
        answer = answers.pop()
        if answer is None:
            raise RuntimeError("not made")
        return answer

    async def ask() -> list[Response | BaseException]:
        page = SharedResponse(make)
        failed = await asyncio.gather(*(page(REQUEST) for _ in range(3)), return_exceptions=True)
        return [*failed, await page(REQUEST)]

    *failed, made = asyncio.run(ask())
    assert [str(error) for error in failed] == ["not made"] * 3
    assert isinstance(made, Response)
    assert made.body == b"made"


def test_rendering_takes_at_most_a_tenth_of_the_cpu_time() -> None:
    sleeper = Sleeper()
    computed: list[float] = []

    def compute() -> Response:
        begin = time.thread_time()
        while time.thread_time() < begin + 0.02:
            pass
        computed.append(time.thread_time() - begin)
        return plain_text("made")

    async def ask() -> None:
        page = SharedResponse(compute, sleeper)
        for _ in range(3):
            await page(REQUEST)
            await sleeper.notified.wait()
            sleeper.notified.clear()

    asyncio.run(ask())
    assert len(sleeper.slept) == 3
    assert all(slept >= 9 * cpu for slept, cpu in zip(sleeper.slept, computed, strict=True))


def test_time_spent_waiting_does_not_count_as_cpu_time() -> None:
    sleeper = Sleeper()
    making = Making()

    async def ask() -> None:
        page = SharedResponse(making, sleeper)
        answer = page(REQUEST)
        await asyncio.to_thread(making.begun.wait, TIMEOUT)
        await asyncio.to_thread(threading.Event().wait, 0.2)
        making.released.set()
        await answer
        await sleeper.notified.wait()

    asyncio.run(ask())
    assert sleeper.slept[0] < 0.2
