"""A short run of `poe key-rotations`, and faults that it must detect."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.clients.toolchains import BUILD_TIMEOUT
from tests.key_rotations.run import rotate
from tests.key_rotations.scale import SHORT, Scale

from tokend_server.config import load_config
from tokend_server.engines.local.keys.keyring import KeyState, key_state
from tokend_server.engines.local.stores.opening import open_migrated_store

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)

#: Shorter durations, possible with synchronous clocks and short-lived tokens.
QUICK = SHORT.but(skew=0.5, lead=12, every=10, life=20)


def test_no_verifier_refuses_a_token_while_keys_rotate(tmp_path: Path) -> None:
    *_, outcome = rotate(tmp_path, SHORT, rotations=6, removals=2)
    assert outcome.refusals == []
    assert set(outcome.accepted) == {"Envoy", "go-oidc", "Nimbus", "PyJWT"}
    assert all(count > outcome.tokens for count in outcome.accepted.values())


def remove_early(config: Path) -> None:
    """Removes keys that no longer sign, even if their tokens have not expired."""
    with closing(open_migrated_store(load_config(config))) as store:
        keys, now = store.signing_keys(), time.time()
        for key in keys:
            if key_state(key, keys, now) is KeyState.RETIRED:
                store.remove_signing_key(key.kid, lambda _keys: None)


def nothing(config: Path) -> None:
    del config


@pytest.mark.parametrize(
    ("scale", "meanwhile"),
    [
        pytest.param(QUICK.but(lead=0), nothing, id="keys that sign when they are published"),
        pytest.param(QUICK, remove_early, id="keys that are taken out while their tokens are valid"),
        pytest.param(QUICK.but(follows=(True, False, True)), nothing, id="a server that does not follow the keys"),
    ],
)
def test_envoy_rejects_tokens_if_key_rotation_is_faulty(
    scale: Scale, meanwhile: Callable[[Path], None], tmp_path: Path
) -> None:
    run = rotate(tmp_path, scale, rotations=6, removals=6, presented_to=["Envoy"], meanwhile=meanwhile)
    with closing(run) as outcomes:
        assert any(refusal.by == "Envoy" for outcome in outcomes for refusal in outcome.refusals)
