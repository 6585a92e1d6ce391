"""Parts of configuration files."""

from pathlib import Path

from tokend_server.callers import keys

POOL_ID = "us-east-1:0a"
POOL = f'[pools."{POOL_ID}"]\ndeveloper_provider_name = "login.example"\n'
SECRET = "hunter2"

#: A key, which an operator may paste in place of its digest, and the digest.
KEY = keys.new_key(lambda count: b"k" * count)
DIGEST = keys.digest(KEY)

EVERYTHING = 'pools = ["*"]\noperations = ["*"]\n'
EVERYBODY = f'[policy.everybody]\ncallers = ["**"]\n{EVERYTHING}'
KEYS = f'[callers.keys]\ncheckout = ["{DIGEST}"]\n'
ISSUER = '[callers.jwt.cluster]\nissuer = "https://i.example"\naudiences = ["tokend"]\nalgorithms = ["RS256"]\n'


def grpc_with(certificate: Path, key: Path, more: str = "") -> str:
    return f'{POOL}[grpc]\ntls_certificate_file = "{certificate}"\ntls_private_key_file = "{key}"\n{more}'
