from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import click
from prometheus_client import CollectorRegistry

from tokend_server.cli.options import check_store_exists, config_option, echo_json, to_iso_8601
from tokend_server.clock import SystemClock
from tokend_server.config import Config, KeyTimes, load_config
from tokend_server.engines.local.keys.build import METHODS_OUTSIDE_STORE, open_key_manager, open_wrappings
from tokend_server.engines.local.keys.fetches import ServerNotes, notes_of
from tokend_server.engines.local.keys.keyring import (
    KeyState,
    SigningAlgorithm,
    SigningKey,
    key_state,
    tokens_expired_by,
)
from tokend_server.engines.local.keys.kms_material import kms_key_arn
from tokend_server.engines.local.keys.manager import KeyManager
from tokend_server.engines.local.keys.opening import method_of
from tokend_server.engines.local.keys.plan import Action, Step, next_key, plan, waiting_keys
from tokend_server.engines.local.keys.rewrapping import Rewrapped, Rewrapping
from tokend_server.engines.local.keys.rotation import KeyExists, KeyInUse, KeyNotFound, KeyRotation
from tokend_server.engines.local.keys.verifier_keys import VerifierKeys, servers_without_key, verifier_keys
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import Store
from tokend_server.engines.local.stores.opening import open_migrated_store
from tokend_server.errors import EngineUnavailable
from tokend_server.metrics import Metrics

#: A key's id may begin with a hyphen and any letter, like an option.
_HYPHENS_ALLOWED = {"ignore_unknown_options": True, "help_option_names": ["--help"]}

_ALGORITHMS = click.Choice([each.value for each in SigningAlgorithm])


class _OpenedStore(NamedTuple):
    """The store of a configuration."""

    config: Config
    store: Store

    @property
    def algorithms(self) -> frozenset[SigningAlgorithm]:
        """The signing algorithms of pools."""
        return frozenset(map(SigningAlgorithm, self.config.signing_algorithms))

    @contextmanager
    def changing(self, key_id: str | None = None, *, kms_key: str | None = None) -> Iterator[KeyRotation]:
        """Returns a context manager that changes keys, at whose end the key manager's connections are closed.

        Args:
            key_id: The given key, for the texts of errors.
            kms_key: The key in AWS KMS to use as the next one; None to create one.
        """
        with self._key_manager(kms_key) as manager, _explaining_errors(key_id):
            yield KeyRotation(self.store, manager, SystemClock(), self.config.keys.times, self.algorithms)

    def _key_manager(self, kms_key: str | None) -> AbstractContextManager[KeyManager]:
        metrics, clock = Metrics(CollectorRegistry()), SystemClock()
        if kms_key is None:
            return open_key_manager(self.config, metrics, clock)
        from tokend_server.engines.local.keys.kms_build import open_given_key  # noqa: PLC0415 - loads boto3

        return open_given_key(self.config, metrics, clock, kms_key)

    def check_clock(self) -> None:
        """Checks that no server's clock is ahead, by which a new key would start to sign too early.

        Raises:
            ClickException: A server's clock is ahead.
        """
        noted: Sequence[ServerNotes] = ()
        with suppress(EngineUnavailable):  # permission to add keys does not include the notes
            noted = [*map(notes_of, self.store.fetch_records())]
        latest = max((each.noted_at for each in noted if not each.stopped), default=0)
        behind = latest - SystemClock.now()
        if behind > self.config.keys.times.clock_skew:
            raise click.ClickException(
                f"This machine's clock is {behind:.0f} s behind a server's, by which the key would start to sign too "
                "early: set the clock first."
            )

    def plan(self, algorithm: SigningAlgorithm) -> Sequence[Step]:
        """Returns the planned steps for the keys of an algorithm."""
        keys, times = self.store.signing_keys(), self.config.keys.times
        return plan(keys, algorithm, times, SystemClock.now(), in_use=algorithm in self.algorithms)

    def next_keys(self, algorithm: str | None) -> Sequence[Step]:
        """Returns the steps to the next key of an algorithm, or of all signing algorithms of pools."""
        keys, times = self.store.signing_keys(), self.config.keys.times
        chosen = [SigningAlgorithm(algorithm)] if algorithm else sorted(self.algorithms, key=attrgetter("value"))
        return [next_key(keys, each, times, SystemClock.now()) for each in chosen]


@click.group()
def keys() -> None:
    """Signing keys."""


@keys.command("list")
@config_option
def list_keys(config_path: Path | None) -> None:
    """List the keys with their states; private keys are never shown."""
    with _open_store(config_path) as opened:
        held = opened.store.signing_keys()
    echo_json({"Keys": [_described(key, held, opened.config) for key in held]})


@keys.command()
@config_option
def status(config_path: Path | None) -> None:
    """Show the state of each key, and the next steps with their times."""
    with _open_store(config_path) as opened:
        held = opened.store.signing_keys()
        plans = {algorithm: opened.plan(algorithm) for algorithm in SigningAlgorithm}
    settings = opened.config.keys
    echo_json(
        {
            "RotateEvery": settings.rotate_every,
            "PublishBefore": settings.publish_before,
            "Activate": settings.activate,
            "Algorithms": [
                {
                    "Algorithm": algorithm.value,
                    "UsedByPools": algorithm in opened.algorithms,
                    "Keys": [_described(key, held, opened.config) for key in held if key.algorithm is algorithm],
                    "Next": [_described_step(step) for step in steps],
                }
                for algorithm, steps in plans.items()
                if algorithm in opened.algorithms or any(key.algorithm is algorithm for key in held)
            ],
        }
    )


@keys.command()
@config_option
@click.option("--all", "everyone", is_flag=True, help="Also show verifiers that have the next keys.")
def verifiers(config_path: Path | None, *, everyone: bool) -> None:
    """Show the verifiers that fetched keys within the last day and may not have the next key.

    Servers record a verifier's first fetch, and its first fetch of other keys, within seconds.
    """
    with _open_store(config_path) as opened:
        now, times = SystemClock.now(), opened.config.keys.times
        waiting = waiting_keys(opened.store.signing_keys(), opened.algorithms, now)
        notes = [*map(notes_of, opened.store.fetch_records())]
    found = verifier_keys(waiting, notes, times, now)
    echo_json(
        {
            "Activate": opened.config.keys.activate,
            "NextKeys": [_described_wait(key, notes, times, now) for key in waiting],
            "Behind": sum(bool(each.behind) for each in found),
            "Known": len(found),
            "Verifiers": [_described_verifier(each) for each in found if everyone or each.behind],
        }
    )


@keys.command()
@config_option
@click.argument("algorithm", type=_ALGORITHMS)
@click.option(
    "--signs-in",
    type=click.IntRange(0, 30 * 86_400),
    metavar="SECONDS",
    help="How long it is published before it signs: longer than any verifier caches keys; default "
    "`keys.publish_before`.",
)
@click.option(
    "--kms-key",
    metavar="ARN|alias/NAME",
    help="Use this existing key in AWS KMS instead of a new one. It is only used to sign, never changed.",
)
def add(config_path: Path | None, algorithm: str, signs_in: int | None, kms_key: str | None) -> None:
    """Add a key that replaces the one that signs now, whether or not another one waits."""
    with _open_store(config_path, create_missing=True) as opened, opened.changing(kms_key=kms_key) as rotation:
        opened.check_clock()
        lead = opened.config.keys.times.publish_before if signs_in is None else signs_in
        key = rotation.add(SigningAlgorithm(algorithm), signs_in=lead)
        held = opened.store.signing_keys()
    echo_json(_described(key, held, opened.config))


@keys.command(context_settings=_HYPHENS_ALLOWED)
@config_option
@click.argument("key_id")
@click.option("--compromised", is_flag=True, help="Also invalidate its tokens, although they have not expired.")
def remove(config_path: Path | None, key_id: str, *, compromised: bool) -> None:
    """Remove a key that no longer signs and whose tokens have expired."""
    with _open_store(config_path) as opened, opened.changing(key_id) as rotation:
        rotation.remove(key_id, compromised=compromised)


@keys.command()
@config_option
@click.argument("algorithm", type=_ALGORITHMS, required=False)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
@click.option(
    "--compromised",
    metavar="KEY_ID",
    help="In an emergency: remove this key at once, after a new one has started to sign in its place.",
)
def rotate(config_path: Path | None, algorithm: str | None, compromised: str | None, *, dry_run: bool) -> None:
    """Add the next key of an algorithm, or of all signing algorithms of pools; it signs when verifiers have it.

    If the next key already waits, nothing is added.
    """
    if algorithm and compromised:
        raise click.UsageError("The algorithm is that of the compromised key: name only the key.")
    with _open_store(config_path) as opened, opened.changing(compromised) as rotation:
        if not compromised:
            opened.check_clock()
        steps = rotation.replacement(compromised) if compromised else opened.next_keys(algorithm)
        kids = [step.kid if dry_run else rotation.take(step, compromised=bool(compromised)) for step in steps]
    echo_json({"Steps": [_described_step(replace(step, kid=kid)) for step, kid in zip(steps, kids, strict=True)]})


@keys.command()
@config_option
@click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
def rewrap(config_path: Path | None, *, dry_run: bool) -> None:
    """Encrypt or decrypt all private keys in the store as configured in `keys.encryption`.

    Ids, public keys and times do not change. Servers observe it within seconds; they need the new wrapping key before.
    """
    with (
        _open_store(config_path) as opened,
        open_wrappings(opened.config, Metrics(CollectorRegistry()), SystemClock()) as wrappings,
    ):
        rewrapping = Rewrapping(opened.store, wrappings, METHODS_OUTSIDE_STORE)
        done = rewrapping.plan() if dry_run else list(rewrapping.run())
        held = {key.kid: key for key in opened.store.signing_keys()}
    echo_json({"Keys": [_described_rewrap(each, held.get(each.key.kid)) for each in done]})


@contextmanager
def _open_store(config_path: Path | None, *, create_missing: bool = False) -> Iterator[_OpenedStore]:
    """Returns a context manager with the store of a configuration; creates a missing store if `create_missing`."""
    config = load_config(config_path)
    if not create_missing:
        check_store_exists(config)
    with closing(open_migrated_store(config)) as store:
        yield _OpenedStore(config, store)


@contextmanager
def _explaining_errors(key_id: str | None = None) -> Iterator[None]:
    """Returns a context manager for changes of keys, which explains their errors."""
    try:
        yield
    except StaleReading as error:
        raise click.ClickException("Another key was added at the same time; see `tokend keys list`.") from error
    except KeyExists as error:
        raise click.ClickException("The store has that key already.") from error
    except KeyNotFound as error:
        raise click.ClickException(f"There is no key {key_id}.") from error
    except KeyInUse as error:
        raise click.ClickException(_why_in_use(error)) from error


def _why_in_use(error: KeyInUse) -> str:
    if error.tokens_expired_by is None:
        return (
            "The key signs, or will within minutes; another one must sign first: `tokend keys rotate`, or in an "
            "emergency `tokend keys rotate --compromised KEY_ID`."
        )
    return f"Tokens that the key has signed may be valid until {to_iso_8601(error.tokens_expired_by)}."


def _described(key: SigningKey, held: Sequence[SigningKey], config: Config) -> dict[str, Any]:
    state = key_state(key, held, SystemClock.now())
    expired_by = tokens_expired_by(key, held, config.keys.times) if state is KeyState.RETIRED else None
    return {
        "KeyId": key.kid,
        "Algorithm": key.algorithm.value,
        "State": state.value,
        "CreationDate": to_iso_8601(key.creation_date),
        "SignsFrom": to_iso_8601(key.signs_from),
        **({"TokensExpiredBy": to_iso_8601(expired_by)} if expired_by else {}),
        **({"KmsKey": arn} if (arn := kms_key_arn(key.material)) else {}),
    }


def _described_rewrap(rewrapped: Rewrapped, held: SigningKey | None) -> dict[str, Any]:
    return {
        "KeyId": rewrapped.key.kid,
        "Algorithm": rewrapped.key.algorithm.value,
        "Rewrap": rewrapped.outcome.value,
        **({"Method": method_of(held.material)} if held else {}),
    }


def _described_wait(key: SigningKey, notes: Sequence[ServerNotes], times: KeyTimes, now: float) -> Mapping[str, object]:
    return {
        "KeyId": key.kid,
        "Algorithm": key.algorithm.value,
        "SignsFrom": to_iso_8601(key.signs_from),
        "HeldBackByServers": [each.server for each in servers_without_key(key, notes, times, now)],
    }


def _described_verifier(each: VerifierKeys) -> Mapping[str, object]:
    address, user_agent = each.verifier
    return {
        "Address": address,
        "UserAgent": user_agent,
        "LastFetch": to_iso_8601(each.fetched_at),
        "BehindOn": each.behind,
    }


def _described_step(step: Step) -> dict[str, Any]:
    return {
        "At": to_iso_8601(step.at),
        "Action": step.action.value,
        "Algorithm": step.algorithm.value,
        "Generation": step.generation,
        **({"KeyId": step.kid} if step.kid else {}),
        **({"SignsFrom": to_iso_8601(step.signs_from)} if step.action is Action.ADD else {}),
    }
