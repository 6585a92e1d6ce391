from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from tokend_server.cli.options import config_option, echo_json, iso
from tokend_server.clock import SystemClock
from tokend_server.config import load_config
from tokend_server.engines.local.keys.build import open_key_manager
from tokend_server.engines.local.keys.keyring import (
    KeyState,
    SigningAlgorithm,
    SigningKey,
    key_state,
    tokens_expired_by,
)
from tokend_server.engines.local.keys.rotation import KeyInUse, KeyNotFound, KeyRotation
from tokend_server.engines.local.keys.times import KEY_TIMES
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import Store
from tokend_server.engines.local.stores.opening import open_migrated_store


@click.group()
def keys() -> None:
    """Signing keys."""


@keys.command("list")
@config_option
def list_keys(config_path: Path | None) -> None:
    """List the keys with what they do now; private keys are never shown."""
    with closing(open_migrated_store(load_config(config_path))) as store:
        held = store.signing_keys()
    now = SystemClock.now()
    echo_json({"Keys": [_described(key, held, now) for key in held]})


@keys.command()
@config_option
@click.argument("algorithm", type=click.Choice([each.value for each in SigningAlgorithm]))
@click.option(
    "--signs-in",
    type=click.IntRange(0, 30 * 86_400),
    default=KEY_TIMES.publish_ahead,
    show_default=True,
    metavar="SECONDS",
    help="How long it is published before it signs: longer than any verifier keeps the keys that it has fetched.",
)
def add(config_path: Path | None, algorithm: str, signs_in: int) -> None:
    """Add a key that takes over from the one that signs now."""
    with _rotation(config_path) as (store, rotation):
        try:
            key = rotation.add(SigningAlgorithm(algorithm), signs_in=signs_in)
        except StaleReading as error:
            raise click.ClickException("Another key was added at the same time; see `tokend keys list`.") from error
        held = store.signing_keys()
    echo_json(_described(key, held, SystemClock.now()))


@keys.command()
@config_option
@click.argument("key_id")
@click.option("--compromised", is_flag=True, help="End its tokens too, though they have not expired.")
def remove(config_path: Path | None, key_id: str, *, compromised: bool) -> None:
    """Remove a key that signs no more, when its tokens have expired."""
    with _rotation(config_path) as (_store, rotation):
        try:
            rotation.remove(key_id, compromised=compromised)
        except KeyNotFound as error:
            raise click.ClickException(f"There is no key {key_id}.") from error
        except KeyInUse as error:
            raise click.ClickException(_why_in_use(error)) from error


def _why_in_use(error: KeyInUse) -> str:
    if error.tokens_expired_by is None:
        return "The key signs, or will within a minute; another has to sign first: `tokend keys add`."
    return f"Tokens that the key has signed may be valid until {iso(error.tokens_expired_by)}."


@contextmanager
def _rotation(config_path: Path | None) -> Iterator[tuple[Store, KeyRotation]]:
    config = load_config(config_path)
    with closing(open_migrated_store(config)) as store, open_key_manager(config) as manager:
        yield store, KeyRotation(store, manager, SystemClock())


def _described(key: SigningKey, held: Sequence[SigningKey], now: float) -> dict[str, Any]:
    state = key_state(key, held, now)
    expired_by = tokens_expired_by(key, held) if state is KeyState.RETIRED else None
    return {
        "KeyId": key.kid,
        "Algorithm": key.algorithm.value,
        "State": state.value,
        "CreationDate": iso(key.creation_date),
        "SignsFrom": iso(key.signs_from),
    } | ({"TokensExpiredBy": iso(expired_by)} if expired_by else {})
