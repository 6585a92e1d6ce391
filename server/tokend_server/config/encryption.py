"""How private signing keys are encrypted in the store."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

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
    """The encryption of the private keys that are kept in the store."""

    method: Literal["none", "file", "aws-kms"] = Field(
        "none",
        description="What new keys and those that are rewrapped are encrypted by; `none`: they are kept in clear",
    )
    key_file: LocalPath | None = Field(
        None, description="`file`: file with 32 random bytes, or these as 64 hexadecimal digits or in base64"
    )
    passphrase_file: LocalPath | None = Field(
        None, description="`file`: instead, a file with a passphrase of 16 bytes at least, from which scrypt makes keys"
    )
    kms_key_id: _KmsKeyId | None = Field(
        None,
        description="`aws-kms`: symmetric KMS key, by its ARN or that of an alias; or by its id or an alias, of "
        "`keys.kms.region`",
    )
    previous_key_files: _Files = Field(
        [],
        description="Files as `key_file` whose keys open what is not rewrapped yet; comma-separated in the environment",
    )
    previous_passphrase_files: _Files = Field([], description="Files as `passphrase_file`, for the same")
    previous_kms_key_ids: Annotated[list[_KmsKeyId], *CommaSeparated] = Field(
        [], description="KMS keys as `kms_key_id`, for the same"
    )
    accept_clear: bool = Field(
        True,
        description="Sign with keys that are kept in clear too; `false`, when all are rewrapped: whoever may write the "
        "store can then add none",
    )

    @property
    def files(self) -> Mapping[str, Sequence[Path]]:
        """The files with what encrypts keys, by setting."""
        return {
            "key_file": [self.key_file] if self.key_file else [],
            "passphrase_file": [self.passphrase_file] if self.passphrase_file else [],
            "previous_key_files": self.previous_key_files,
            "previous_passphrase_files": self.previous_passphrase_files,
        }

    @property
    def kms_key_ids(self) -> Sequence[str]:
        """The KMS keys that are named."""
        return [*filter(None, [self.kms_key_id]), *self.previous_kms_key_ids]

    @model_validator(mode="after")
    def _is_of_one_method(self) -> Self:
        problems = []
        if (self.method == "aws-kms") != (self.kms_key_id is not None):
            problems.append(
                'method = "aws-kms" and kms_key_id belong together; what only opens keys is previous_kms_key_ids'
            )
        given = [name for name in ("key_file", "passphrase_file") if getattr(self, name)]
        if self.method == "file" and len(given) != 1:
            problems.append('method = "file" needs one of key_file and passphrase_file')
        if self.method != "file" and given:
            problems.append(
                f'{" and ".join(given)}: without method = "file" no key is encrypted by it; what only opens keys is '
                f"{' and '.join(f'previous_{name}s' for name in given)}"
            )
        if self.method == "none" and not self.accept_clear:
            problems.append("accept_clear = false needs a method: new keys would be kept in clear, and be refused")
        if problems:
            raise ValueError("\n".join(problems))
        return self
