import pytest

from tokend_server.engines.local.outcomes import OUTCOMES, Situation, check_allowed, refusal
from tokend_server.errors import TokendError


def test_every_situation_has_a_row_with_a_reason() -> None:
    assert set(OUTCOMES) == set(Situation)
    assert all(outcome.why.endswith(".") for outcome in OUTCOMES.values())


@pytest.mark.parametrize("situation", Situation)
def test_a_row_either_refuses_or_lets_the_call_link(situation: Situation) -> None:
    if OUTCOMES[situation].refusal is None:
        check_allowed(situation, "subject")
        with pytest.raises(ValueError, match="needs a refusal"):
            refusal(situation, "subject")
    else:
        assert isinstance(refusal(situation, "subject"), TokendError)
        with pytest.raises(TokendError):
            check_allowed(situation, "subject")


def test_only_linking_a_further_developer_user_is_allowed() -> None:
    going_on = {situation for situation, outcome in OUTCOMES.items() if outcome.refusal is None}
    assert going_on == {Situation.NAMED_IDENTITY_HAS_OTHER_DEVELOPER_USERS}
