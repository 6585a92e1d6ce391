from contextlib import closing
from pathlib import Path

import click

from tokend_server.cli.options import config_option, echo_json, iso
from tokend_server.clock import SystemClock
from tokend_server.config import load_config
from tokend_server.engines.local.build import open_configured_store
from tokend_server.engines.local.keyring import key_state


@click.group()
def keys() -> None:
    """Signing keys."""


@keys.command("list")
@config_option
def list_keys(config_path: Path | None) -> None:
    """List the keys with what they do now; private keys are never shown."""
    now = SystemClock.now()
    with closing(open_configured_store(load_config(config_path))) as store:
        held = store.signing_keys()
    echo_json(
        {
            "Keys": [
                {
                    "KeyId": key.kid,
                    "Algorithm": key.algorithm.value,
                    "State": key_state(key, held, now).value,
                    "CreationDate": iso(key.creation_date),
                    "SignsFrom": iso(key.signs_from),
                }
                for key in held
            ]
        }
    )
