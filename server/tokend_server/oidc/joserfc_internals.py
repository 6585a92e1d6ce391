"""The private interfaces of joserfc that tokend uses: the creation of keys without `import_key`.

`import_key` accepts short RSA keys, with a warning, and members of types that other libraries reject.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc.jwk import ECKey, RSAKey

from tokend_server.library_parts import require

Members: TypeAlias = dict[str, Any]


def ec_key(members: Members) -> ECKey:
    """Returns an elliptic curve key from the public members of a JWK, whose types have been checked.

    Raises:
        JoseError: joserfc does not know `use` or `key_ops`.
        KeyError: A member is missing.
        ValueError: They are not a key.
    """
    return ECKey(ECKey.binding.import_from_dict(members), members)


def rsa_key(members: Members, check: Callable[[RSAPublicKey], None]) -> RSAKey:
    """Returns an RSA key, as `ec_key`, after a check before any other use."""
    public_key = RSAKey.binding.import_from_dict(members)
    check(public_key)
    return RSAKey(public_key, members)


def _makes_ec_keys() -> bool:
    # RFC 7515, appendix A.3.1.
    x, y = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    key = ec_key({"kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig"})
    key.check_key_op("verify")
    return key.as_dict(private=False)["y"] == y


def _makes_rsa_keys() -> bool:
    sizes: list[int] = []
    members = {"kty": "RSA", "n": "g" + "A" * 340 + "Q", "e": "AQAB"}
    key = rsa_key(members, lambda public: sizes.append(public.key_size))
    return sizes == [2048] and key.as_dict(private=False)["e"] == "AQAB"


require("joserfc", {"EC keys of their members": _makes_ec_keys, "RSA keys of their members": _makes_rsa_keys})
