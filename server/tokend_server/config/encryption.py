"""The encryption of private signing keys in the store."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tokend_server.config.fields import CommaSeparated, Section
from tokend_server.config.paths import LocalPath

_KmsKeyId = Annotated[
    str,
    Field(
        max_length=2048,
        pattern=r"^(arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9_/-]+|alias/[A-Za-z0-9_/-]+|[A-Za-z0-9-]+)$",
    ),
]
_Files = Annotated[list[LocalPath], *CommaSeparated]


class Encryption(Section):
    """The encryption of private keys in the store."""

    method: Literal["none", "file", "aws-kms"] = Field(
        "none",
        description="Encryption of new and rewrapped keys; `none`: they are stored in clear",
    )
    key_file: LocalPath | None = Field(
        None, description="`file`: file with 32 random bytes, or these as 64 hexadecimal digits or in base64"
    )
    passphrase_file: LocalPath | None = Field(
        None,
        description="`file`: instead, a file with a passphrase of at least 16 bytes, from which scrypt derives keys",
    )
    kms_key_id: _KmsKeyId | None = Field(
        None,
        description="`aws-kms`: symmetric KMS key: its ARN, an alias's ARN, or an id or alias in `keys.kms.region`",
    )
    previous_key_files: _Files = Field(
        [],
        description="Files as `key_file` for keys that are not rewrapped yet; comma-separated in the environment",
    )
    previous_passphrase_files: _Files = Field([], description="Files as `passphrase_file`, for the same")
    previous_kms_key_ids: Annotated[list[_KmsKeyId], *CommaSeparated] = Field(
        [], description="KMS keys as `kms_key_id`, for the same"
    )
    accept_clear: bool = Field(
        True,
        description="Also sign with keys that are stored in clear; set `false` when all are rewrapped, so that write "
        "access to the store does not suffice to add keys",
    )

    @property
    def files(self) -> Mapping[str, Sequence[Path]]:
        """The files that encrypt keys, by setting."""
        return {
            "key_file": [self.key_file] if self.key_file else [],
            "passphrase_file": [self.passphrase_file] if self.passphrase_file else [],
            "previous_key_files": self.previous_key_files,
            "previous_passphrase_files": self.previous_passphrase_files,
        }

    @property
    def kms_key_ids(self) -> Sequence[str]:
        """The configured KMS keys."""
        return [*filter(None, [self.kms_key_id]), *self.previous_kms_key_ids]

    def _own_problems(self) -> Iterator[str]:
        if (self.method == "aws-kms") != (self.kms_key_id is not None):
            yield 'method = "aws-kms" and kms_key_id belong together; keys for decryption only are previous_kms_key_ids'
        given = [name for name in ("key_file", "passphrase_file") if getattr(self, name)]
        if self.method == "file" and len(given) != 1:
            yield 'method = "file" needs one of key_file and passphrase_file'
        if self.method != "file" and given:
            yield (
                f'{" and ".join(given)}: is not used without method = "file"; files for decryption only are '
                f"{' and '.join(f'previous_{name}s' for name in given)}"
            )
        if self.method == "none" and not self.accept_clear:
            yield "accept_clear = false needs a method: new keys would be stored in clear, and be refused"
