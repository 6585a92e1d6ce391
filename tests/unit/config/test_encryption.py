import pytest
from tests.unit.config.conftest import Problems
from tests.unit.config.file_parts import POOL


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ('method = "file"', 'method = "file" needs one of key_file and passphrase_file'),
        (
            'method = "file"\nkey_file = "a"\npassphrase_file = "b"',
            'method = "file" needs one of key_file and passphrase_file',
        ),
        (
            'key_file = "a"',
            'key_file: is not used without method = "file"; files for decryption only are previous_key_files',
        ),
        (
            'method = "aws-kms"',
            'method = "aws-kms" and kms_key_id belong together; keys for decryption only are previous_kms_key_ids',
        ),
        (
            'kms_key_id = "alias/x"',
            'method = "aws-kms" and kms_key_id belong together; keys for decryption only are previous_kms_key_ids',
        ),
        (
            "accept_clear = false",
            "accept_clear = false needs a method: new keys would be stored in clear, and be refused",
        ),
    ],
)
def test_contradictory_encryption_settings_are_refused(problems: Problems, settings: str, problem: str) -> None:
    assert problems(f"{POOL}[keys.encryption]\n{settings}") == [f"keys.encryption: {problem}"]


def test_a_kms_key_without_a_region_is_refused(problems: Problems) -> None:
    settings = 'previous_kms_key_ids = ["arn:aws:kms:eu-west-1:123456789012:key/1a"]\nmethod = "aws-kms"\n'
    assert problems(f'{POOL}[keys.encryption]\n{settings}kms_key_id = "alias/tokend"') == [
        "keys: kms.region must name the region of KMS keys in encryption that are not given as ARNs"
    ]
