"""After any events in any order, a client of either variant has all existing resources that it subscribes to."""

from collections.abc import Mapping

from hypothesis import example, given
from hypothesis import strategies as st

from tokend_server.mesh.xds import (
    Delta,
    DeltaRequest,
    GetResource,
    Missing,
    Resource,
    SotwRequest,
    SotwResponse,
    StateOfTheWorld,
)

ALL_NAMES = frozenset("abc")

#: The resource of each name at a moment: contents, none, or not yet known.
Contents = Mapping[str, bytes | Missing]

CONTENTS = st.sampled_from([b"1", b"2", Missing.ABSENT, Missing.PENDING])
MOMENTS = st.fixed_dictionaries(dict.fromkeys(sorted(ALL_NAMES), CONTENTS))
NAMES = st.frozensets(st.sampled_from("abcx"), min_size=1).map(lambda names: tuple(sorted(names)))


def getter(contents: Contents) -> GetResource:
    def get(name: str) -> Resource | Missing:
        found = contents.get(name, Missing.ABSENT)
        return found if isinstance(found, Missing) else Resource.of(name, found)

    return get


def there(contents: Contents, names: frozenset[str]) -> dict[str, bytes]:
    return {name: found for name in names if isinstance(found := contents.get(name), bytes)}


class WorldClient:
    """A client that acknowledges every response, and keeps its resources over reconnects."""

    def __init__(self) -> None:
        self.has: dict[str, bytes] = {}
        self._wants: tuple[str, ...] = ()
        self.connect()

    def connect(self) -> None:
        self._server = StateOfTheWorld(ALL_NAMES)
        self._nonce = ""

    def want(self, names: tuple[str, ...], contents: Contents) -> None:
        self._wants = names
        self._say(contents)

    def come_back(self, contents: Contents) -> None:
        self.connect()
        self._say(contents)

    def take(self, contents: Contents) -> None:
        if response := self._server.respond(getter(contents)):
            self._take(response)
            self._say(contents)

    def _say(self, contents: Contents) -> None:
        self._server.receive(SotwRequest(self._wants, self._nonce))
        self.has = {name: found for name, found in self.has.items() if name in self._wants}
        self.take(contents)

    def _take(self, response: SotwResponse) -> None:
        self._nonce = response.nonce
        self.has |= {each.name: each.contents for each in response.resources}


class DeltaClient:
    """As above, with its resource of each name."""

    def __init__(self) -> None:
        self.has: dict[str, bytes] = {}
        self._wants: frozenset[str] = frozenset()
        self._server: Delta | None = None

    def want(self, names: tuple[str, ...], contents: Contents) -> None:
        before, self._wants = self._wants, frozenset(names)
        if self._server is None:
            self.come_back(contents)
            return
        added, dropped = tuple(sorted(self._wants - before)), tuple(sorted(before - self._wants))
        self.has = {name: found for name, found in self.has.items() if name in self._wants}
        self._say(DeltaRequest(subscribe=added, unsubscribe=dropped), contents)

    def come_back(self, contents: Contents) -> None:
        self._server = Delta(ALL_NAMES)
        versions = {name: Resource.of(name, found).version for name, found in self.has.items()}
        subscribe = tuple(sorted(self._wants)) or ("x",)
        self._say(DeltaRequest(subscribe=subscribe, initial_resource_versions=versions), contents)

    def take(self, contents: Contents) -> None:
        if self._server and (response := self._server.respond(getter(contents))):
            self.has |= {each.name: each.contents for each in response.resources}
            for name in response.removed_resources:
                self.has.pop(name, None)
            self._say(DeltaRequest(response_nonce=response.nonce), contents)

    def _say(self, request: DeltaRequest, contents: Contents) -> None:
        if self._server:
            self._server.receive(request)
            self.take(contents)


STEPS = st.lists(
    st.one_of(st.tuples(st.just("want"), NAMES), st.tuples(st.sampled_from(["come back", "change"]), MOMENTS))
)


def play(
    client: WorldClient | DeltaClient, first: Contents, steps: list[tuple[str, object]]
) -> tuple[Contents, frozenset[str]]:
    contents, wants = first, frozenset("a")
    client.want(("a",), contents)
    for kind, value in steps:
        if kind == "want":
            assert isinstance(value, tuple)
            wants = frozenset(value)
            client.want(value, contents)
        else:
            assert isinstance(value, dict)
            contents = value
            if kind == "come back":
                client.come_back(contents)
            else:
                client.take(contents)
    return contents, wants


#: A client that reconnects with fewer subscriptions than before, and then subscribes to all again; and vice versa.
LESS_AND_MORE = [("want", ("a", "c")), ("want", ("b",)), ("come back", {"a": b"1", "c": b"2"}), ("want", ("a", "c"))]
GONE_AND_BACK = [("change", {}), ("want", ("b",)), ("want", ("a",)), ("come back", {"a": b"1", "c": b"2"})]


@given(MOMENTS, STEPS)
@example({"a": b"1", "c": b"2"}, LESS_AND_MORE)
@example({"a": b"1", "c": b"2"}, GONE_AND_BACK)
def test_a_state_of_the_world_client_has_the_current_resources(
    first: Contents, steps: list[tuple[str, object]]
) -> None:
    client = WorldClient()
    contents, wants = play(client, first, steps)
    found = there(contents, wants)
    assert {name: client.has.get(name) for name in found} == found


@given(MOMENTS, STEPS)
@example({"a": b"1", "c": b"2"}, LESS_AND_MORE)
@example({"a": b"1", "c": b"2"}, GONE_AND_BACK)
def test_a_delta_client_has_the_current_resources(first: Contents, steps: list[tuple[str, object]]) -> None:
    client = DeltaClient()
    contents, wants = play(client, first, steps)
    found = there(contents, wants)
    pending = {name for name in wants if contents.get(name) is Missing.PENDING}
    assert {name: resource for name, resource in client.has.items() if name not in pending} == found
