import pytest

from tokend_server.mesh.xds import (
    Delta,
    DeltaRequest,
    DeltaResponse,
    GetResource,
    Missing,
    Receipt,
    Resource,
    SotwRequest,
    SotwResponse,
    StateOfTheWorld,
)

A, B, NEW_A = Resource.of("a", b"1"), Resource.of("b", b"2"), Resource.of("a", b"3")


def there(*resources: Resource, pending: tuple[str, ...] = ()) -> GetResource:
    found = {each.name: each for each in resources}
    return lambda name: found.get(name, Missing.PENDING if name in pending else Missing.ABSENT)


ALL = there(A, B)


def world(*names: str) -> tuple[StateOfTheWorld, SotwResponse]:
    """A stream after the response to its first request."""
    state = StateOfTheWorld(frozenset({"a", "b"}))
    assert state.receive(SotwRequest(names)) is Receipt.NOTHING
    response = state.respond(ALL)
    assert response is not None
    return state, response


def acknowledging(response: SotwResponse, *names: str, rejects: bool = False) -> SotwRequest:
    return SotwRequest(names, response.nonce, rejects)


def delta(request: DeltaRequest) -> tuple[Delta, DeltaResponse]:
    state = Delta(frozenset({"a", "b"}))
    assert state.receive(request) is Receipt.NOTHING
    response = state.respond(ALL)
    assert response is not None
    return state, response


def test_a_version_follows_from_contents() -> None:
    assert Resource.of("a", b"1").version == A.version != NEW_A.version


def test_contents_do_not_appear_in_the_representation() -> None:
    assert "secret" not in repr(Resource.of("a", b"secret"))


class TestStateOfTheWorld:
    def test_a_response_has_all_subscribed_resources(self) -> None:
        _, response = world("b", "a")
        assert response.resources == (A, B)
        assert response.nonce

    def test_acknowledged_resources_are_not_sent_again(self) -> None:
        state, response = world("a")
        assert state.receive(acknowledging(response, "a")) is Receipt.ACKNOWLEDGED
        assert state.respond(ALL) is None

    @pytest.mark.parametrize(("rejects", "receipt"), [(False, Receipt.ACKNOWLEDGED), (True, Receipt.REJECTED)])
    def test_a_response_is_acknowledged_or_rejected_once(self, rejects: bool, receipt: Receipt) -> None:  # noqa: FBT001 - a table's column
        state, response = world("a")
        assert state.receive(acknowledging(response, "a", rejects=rejects)) is receipt
        assert state.receive(acknowledging(response, "a", "b")) is Receipt.NOTHING
        following = state.respond(ALL)
        assert following is not None
        assert state.receive(acknowledging(following, "a", "b")) is Receipt.ACKNOWLEDGED

    def test_a_change_is_sent_under_another_version_and_nonce(self) -> None:
        state, first = world("a")
        state.receive(acknowledging(first, "a"))
        second = state.respond(there(NEW_A))
        assert second is not None
        assert second.resources == (NEW_A,)
        assert second.version_info != first.version_info
        assert second.nonce != first.nonce

    def test_a_change_does_not_wait_for_an_acknowledgement(self) -> None:
        state, _ = world("a")
        assert state.respond(there(NEW_A)) is not None

    def test_rejected_resources_are_sent_again_only_after_a_change(self) -> None:
        state, response = world("a")
        assert state.receive(acknowledging(response, "a", rejects=True)) is Receipt.REJECTED
        assert state.respond(ALL) is None
        assert state.respond(there(NEW_A)) is not None

    def test_a_stale_request_changes_nothing(self) -> None:
        state, first = world("a")
        state.respond(there(NEW_A))
        assert state.receive(acknowledging(first, "a", "b")) is Receipt.STALE
        assert state.names == {"a"}

    def test_a_name_is_added_before_the_first_response(self) -> None:
        state = StateOfTheWorld(frozenset())
        state.receive(SotwRequest(("a",)))
        state.receive(SotwRequest(("a", "b")))
        response = state.respond(ALL)
        assert response is not None
        assert response.resources == (A, B)

    def test_a_name_is_added_with_an_acknowledgement(self) -> None:
        state, response = world("a")
        state.receive(acknowledging(response, "a", "b"))
        second = state.respond(ALL)
        assert second is not None
        assert second.resources == (A, B)

    def test_an_unsubscribed_resource_is_not_sent(self) -> None:
        state, response = world("a", "b")
        state.receive(acknowledging(response, "b"))
        assert state.respond(there(NEW_A, B)) is None

    def test_a_resubscribed_resource_is_sent_again(self) -> None:
        state, first = world("a", "b")
        state.receive(acknowledging(first, "b"))
        state.receive(acknowledging(first, "a", "b"))
        assert state.respond(ALL) is not None

    def test_unknown_names_have_no_response(self) -> None:
        state = StateOfTheWorld(frozenset())
        state.receive(SotwRequest(("x",)))
        assert state.respond(ALL) is None

    def test_an_unknown_name_does_not_delay_others(self) -> None:
        _, response = world("a", "x")
        assert response.resources == (A,)

    def test_pending_resources_are_sent_later(self) -> None:
        state = StateOfTheWorld(frozenset())
        state.receive(SotwRequest(("a", "b")))
        first = state.respond(there(A, pending=("b",)))
        second = state.respond(ALL)
        assert first is not None
        assert second is not None
        assert (first.resources, second.resources) == ((A,), (A, B))

    def test_removed_resources_cause_no_response(self) -> None:
        state, response = world("a", "b")
        state.receive(acknowledging(response, "a", "b"))
        assert state.respond(there(B)) is None

    @pytest.mark.parametrize("names", [(), ("*",)])
    def test_a_wildcard_subscribes_to_all_names(self, names: tuple[str, ...]) -> None:
        state, response = world(*names)
        assert response.resources == (A, B)
        state.receive(acknowledging(response, *names))
        assert state.names == {"a", "b"}

    def test_a_wildcard_can_be_combined_with_names(self) -> None:
        state, _ = world("*", "x")
        assert state.names == {"a", "b", "x"}

    def test_an_empty_subscription_after_names_has_no_names(self) -> None:
        state, response = world("a")
        state.receive(acknowledging(response))
        assert state.names == frozenset()


class TestDelta:
    def test_subscribed_resources_are_sent(self) -> None:
        _, response = delta(DeltaRequest(subscribe=("b", "a")))
        assert response.resources == (A, B)
        assert response.removed_resources == ()

    def test_acknowledged_resources_are_not_sent_again(self) -> None:
        state, response = delta(DeltaRequest(subscribe=("a",)))
        assert state.receive(DeltaRequest(response_nonce=response.nonce)) is Receipt.ACKNOWLEDGED
        assert state.respond(ALL) is None

    @pytest.mark.parametrize(("rejects", "receipt"), [(False, Receipt.ACKNOWLEDGED), (True, Receipt.REJECTED)])
    def test_a_repeated_acknowledgement_is_ignored(self, rejects: bool, receipt: Receipt) -> None:  # noqa: FBT001 - a table's column
        state, response = delta(DeltaRequest(subscribe=("a",)))
        request = DeltaRequest(response_nonce=response.nonce, rejects=rejects)
        assert [state.receive(request) for _ in range(3)] == [receipt, Receipt.NOTHING, Receipt.NOTHING]
        following = state.respond(there(NEW_A))
        assert following is not None
        assert state.receive(request._replace(response_nonce=following.nonce)) is receipt

    def test_only_changed_resources_are_sent(self) -> None:
        state, _ = delta(DeltaRequest(subscribe=("a", "b")))
        second = state.respond(there(NEW_A, B))
        assert second is not None
        assert second.resources == (NEW_A,)

    def test_rejected_resources_are_sent_again_only_after_a_change(self) -> None:
        state, response = delta(DeltaRequest(subscribe=("a",)))
        assert state.receive(DeltaRequest(response_nonce=response.nonce, rejects=True)) is Receipt.REJECTED
        assert state.respond(ALL) is None
        assert state.respond(there(NEW_A)) is not None

    def test_a_request_about_an_older_response_may_subscribe(self) -> None:
        state, first = delta(DeltaRequest(subscribe=("a",)))
        state.respond(there(NEW_A))
        assert state.receive(DeltaRequest(subscribe=("b",), response_nonce=first.nonce)) is Receipt.STALE
        third = state.respond(there(NEW_A, B))
        assert third is not None
        assert third.resources == (B,)

    def test_a_reconnected_client_gets_the_missing_resources(self) -> None:
        versions = {"a": A.version, "b": "of before"}
        _, response = delta(DeltaRequest(subscribe=("a", "b"), initial_resource_versions=versions))
        assert response.resources == (B,)

    def test_a_reconnected_client_gets_the_removed_resources(self) -> None:
        versions = {"a": A.version, "x": "of before"}
        state = Delta(frozenset())
        state.receive(DeltaRequest(subscribe=("a", "x"), initial_resource_versions=versions))
        response = state.respond(ALL)
        assert response == DeltaResponse((), ("x",), "1")

    def test_initial_versions_of_unsubscribed_resources_are_ignored(self) -> None:
        _, response = delta(DeltaRequest(subscribe=("a",), initial_resource_versions={"x": "of before"}))
        assert response.removed_resources == ()

    def test_a_missing_resource_is_reported_once(self) -> None:
        state, response = delta(DeltaRequest(subscribe=("a", "x")))
        assert response.removed_resources == ("x",)
        assert state.respond(ALL) is None

    def test_a_resource_that_disappears_and_returns_is_sent_again(self) -> None:
        state, _ = delta(DeltaRequest(subscribe=("a", "b")))
        gone, back = state.respond(there(B)), state.respond(ALL)
        assert gone is not None
        assert gone.removed_resources == ("a",)
        assert back is not None
        assert back.resources == (A,)

    def test_pending_resources_are_not_reported_as_removed(self) -> None:
        state = Delta(frozenset())
        state.receive(DeltaRequest(subscribe=("a",)))
        assert state.respond(there(pending=("a",))) is None
        assert state.respond(ALL) is not None

    def test_unsubscribed_resources_are_not_sent(self) -> None:
        state, _ = delta(DeltaRequest(subscribe=("a", "b")))
        state.receive(DeltaRequest(unsubscribe=("a",)))
        assert state.respond(there(NEW_A, B)) is None

    def test_resubscribed_resources_are_sent_again(self) -> None:
        state, _ = delta(DeltaRequest(subscribe=("a", "b")))
        state.receive(DeltaRequest(subscribe=("a",)))
        second = state.respond(ALL)
        assert second is not None
        assert second.resources == (A,)

    @pytest.mark.parametrize("subscribe", [(), ("*",)])
    def test_a_wildcard_subscribes_to_all_names(self, subscribe: tuple[str, ...]) -> None:
        state, response = delta(DeltaRequest(subscribe=subscribe))
        assert response.resources == (A, B)
        state.receive(DeltaRequest(response_nonce=response.nonce))
        assert state.names == {"a", "b"}

    def test_a_wildcard_reports_resources_removed_since_the_last_connection(self) -> None:
        _, response = delta(DeltaRequest(initial_resource_versions={"x": "of before"}))
        assert response.removed_resources == ("x",)

    def test_a_wildcard_reports_no_unknown_names_as_removed(self) -> None:
        state = Delta(frozenset({"a", "b"}))
        state.receive(DeltaRequest())
        response = state.respond(there(A))
        assert response == DeltaResponse((A,), (), "1")

    def test_a_wildcard_can_be_unsubscribed(self) -> None:
        state, _ = delta(DeltaRequest(subscribe=("*", "a")))
        state.receive(DeltaRequest(unsubscribe=("*",)))
        assert state.names == {"a"}

    def test_a_name_dropped_under_a_wildcard_is_sent_again(self) -> None:
        state, _ = delta(DeltaRequest(subscribe=("*", "a")))
        state.receive(DeltaRequest(unsubscribe=("a",)))
        second = state.respond(ALL)
        assert second is not None
        assert second.resources == (A,)
