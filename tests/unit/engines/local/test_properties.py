"""Invariants after any sequence of operations, checked with a model of a dozen lines."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.support.local_engine import DEVELOPER, PUBLIC_PROVIDERS, LocalEngineUnderTest

from tokend_server.errors import TokendError
from tokend_server.model import MAX_LINKED_LOGINS, Identity

_USERS = st.sampled_from([f"user {number}" for number in range(6)])
_PUBLIC = st.dictionaries(
    st.sampled_from(PUBLIC_PROVIDERS), st.sampled_from(["user x", "user y", "user z"]), max_size=2
)


class AnySequence(RuleBasedStateMachine):
    """Random calls. The model records the last returned identity of each login."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="tokend-properties-"))
        self.local = LocalEngineUnderTest(self.directory)
        self.identity_ids: list[str] = []
        self.returned: dict[tuple[str, str], str] = {}

    def teardown(self) -> None:
        self.local.close()
        shutil.rmtree(self.directory)

    @initialize()
    def some_guests(self) -> None:
        self.identity_ids += [self.local.guest(), self.local.guest()]

    @rule(user=_USERS, public=_PUBLIC)
    def issue(self, user: str, public: dict[str, str]) -> None:
        self._issue({DEVELOPER: user, **public}, None)

    @rule(user=_USERS, public=_PUBLIC, data=st.data())
    def issue_for(self, user: str, public: dict[str, str], data: st.DataObject) -> None:
        self._issue({DEVELOPER: user, **public}, data.draw(st.sampled_from(self.identity_ids)))

    @rule(source=_USERS, destination=_USERS)
    def merge(self, source: str, destination: str) -> None:
        before = self._identities()
        try:
            merged = self.local.merge(source, destination)
        except TokendError:
            assert self._identities() == before
            return
        moved_from = self.returned[DEVELOPER, source]
        assert merged == self.returned[DEVELOPER, destination]
        self.returned = {login: merged if owner == moved_from else owner for login, owner in self.returned.items()}

    @rule(user=_USERS)
    def unlink(self, user: str) -> None:
        if identity_id := self.returned.pop((DEVELOPER, user), None):
            self.local.unlink(identity_id, user)

    @invariant()
    def the_store_has_exactly_the_returned_identities(self) -> None:
        stored = [
            ((login.provider_name, login.user_identifier.reveal()), identity.identity_id)
            for identity in self._identities()
            for login in identity.logins
        ]
        assert len(stored) == len(dict(stored)), "two identities hold one login"
        assert dict(stored) == self.returned

    @invariant()
    def every_identity_is_within_its_limits(self) -> None:
        for identity in self._identities():
            assert len(identity.logins) <= MAX_LINKED_LOGINS
            assert not (identity.disabled and identity.logins)
            public = [login.provider_name for login in identity.logins if login.provider_name != DEVELOPER]
            assert len(public) == len(set(public))

    def _issue(self, logins: dict[str, str], identity_id: str | None) -> None:
        before = self._identities()
        try:
            issued = self.local.identity_of(logins, identity_id)
        except TokendError:
            assert self._identities() == before
            return
        assert identity_id in {None, issued}
        for provider, value in logins.items():
            login = (provider, value.removeprefix("user ") if provider != DEVELOPER else value)
            assert self.returned.setdefault(login, issued) == issued, "a login has changed its identity"
        self.identity_ids.append(issued)

    def _identities(self) -> list[Identity]:
        pool = self.local.pool.identity_pool_id
        return self.local.store.identities(pool, max_results=1000, after=None, hide_disabled=False)


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(max_examples=60, stateful_step_count=30)
