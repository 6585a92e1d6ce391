"""The items of the table: their keys and attributes, and conversions from and to the port's data types.

| item | `pk` | `sk` | other attributes |
|---|---|---|---|
| login | `login#` and its `login_key` in hex | `login` | `identity_id` |
| identity | `identity#` and its id | `identity` | the members of `Identity`, its logins included |
| index entry | `pool#`, the pool, `#`, the shard | the identity's id | none |
| pool | `pools` | the pool | none |
| signing key | `keys` | the algorithm, `#`, the generation | the members of `SigningKey` |
| fetches | `key_set_fetches` | the server | `noted_at`, `document` |
| developer provider | `developer_providers` | the pool | `provider_name` |
| kept pool | `identity_pools` | the pool | `document`, `revision` |
| version of the keys, and of developer providers | `version#` and their `pk` | `version` | `revision` |
| schema | `schema` | `schema` | `version`, `oldest`: migrations that it has, and those that a release must know |
"""

from collections.abc import Mapping
from typing import Any, TypeAlias
from zlib import crc32

from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.store import FetchRecord
from tokend_server.engines.local.store import KeptPool, login_key
from tokend_server.model import Identity, Login, NumericDate, Secret

#: An item, or its key, in the format of boto3: attributes by name, values by type.
Item: TypeAlias = Mapping[str, Mapping[str, Any]]

#: The key attributes of the table, both of type S.
PARTITION_KEY, SORT_KEY = "pk", "sk"

#: The number of partitions of a pool's index. It is part of the schema, because it determines where entries are.
SHARDS = 16

KEYS = "keys"
DEVELOPER_PROVIDERS = "developer_providers"
FETCHES = "key_set_fetches"
POOLS = "pools"
KEPT_POOLS = "identity_pools"

#: The maximum size of an item in bytes (quotas of DynamoDB).
MAX_BYTES = 400 * 1024

#: Bytes of a list or map without its entries, of an entry without its value, and at most of a number or Boolean.
_CONTAINER_BYTES, _ENTRY_BYTES, _SCALAR_BYTES = 3, 1, 21

#: The number of digits of a generation, so that keys sort by generation.
_GENERATION_DIGITS = 10


def key(partition: str, sort: str) -> Item:
    """Returns the key of an item."""
    return {PARTITION_KEY: {"S": partition}, SORT_KEY: {"S": sort}}


SCHEMA = key("schema", "schema")
#: It exists from the creation of a table until its backups are enabled.
BACKUPS_DUE = key("schema", "backups")


def key_of_login(identity_pool_id: str, login: Login) -> Item:
    """Returns the key of a login."""
    return key_of_login_digest(login_key(identity_pool_id, login))


def key_of_login_digest(digest: bytes) -> Item:
    """Returns the key of a login, from its `login_key`."""
    return key(f"login#{digest.hex()}", "login")


def key_of_identity(identity_id: str) -> Item:
    """Returns the key of an identity."""
    return key(f"identity#{identity_id}", "identity")


def key_of_index_entry(identity_pool_id: str, identity_id: str) -> Item:
    """Returns the key of an identity's entry in the index of its pool."""
    return key(index_partition(identity_pool_id, crc32(identity_id.encode()) % SHARDS), identity_id)


def index_partition(identity_pool_id: str, shard: int) -> str:
    """Returns the partition of a shard of a pool's index."""
    return f"pool#{identity_pool_id}#{shard:02}"


def key_of_signing_key(algorithm: SigningAlgorithm, generation: int) -> Item:
    """Returns the key of a signing key: at most one item for each generation of an algorithm."""
    return key(KEYS, f"{algorithm.value}#{generation:0{_GENERATION_DIGITS}}")


def key_of_version(partition: str) -> Item:
    """Returns the key of the version of a partition, which counts its changes."""
    return key(f"version#{partition}", "version")


def version_of(item: Item | None) -> Item | None:
    """Returns the version attribute of a version's item; None if there is none yet."""
    return None if item is None else {"revision": item["revision"]}


def after_version(version: Item | None) -> Item:
    """Returns the next version."""
    return {"revision": {"N": str(number(version, "revision") + 1 if version else 1)}}


def size(item: Item) -> int:
    """Returns the size of an item in bytes, at most `MAX_BYTES` ("DynamoDB item sizes and formats")."""
    return sum(len(name.encode()) + _size_of_value(value) for name, value in item.items())


def _size_of_value(typed: Mapping[str, Any]) -> int:
    ((kind, value),) = typed.items()
    match kind:
        case "S":
            return len(value.encode())
        case "B":
            return len(value)
        case "L":
            return _CONTAINER_BYTES + sum(_ENTRY_BYTES + _size_of_value(each) for each in value)
        case "M":
            return _CONTAINER_BYTES + _ENTRY_BYTES * len(value) + size(value)
        case _:
            return _SCALAR_BYTES


def sort_key(item: Item) -> str:
    """Returns the sort key of an item."""
    return text(item, SORT_KEY)


def text(item: Item, name: str) -> str:
    """Returns an attribute of type S."""
    value: str = item[name]["S"]
    return value


def number(item: Item, name: str) -> int:
    """Returns an attribute of type N."""
    return int(item[name]["N"])


def identity_values(identity: Identity, revision: int) -> Item:
    """Returns the mutable attributes of an identity."""
    logins = sorted(identity.logins, key=lambda each: (each.provider_name, each.user_identifier.reveal()))
    return {
        "last_modified_date": {"N": str(identity.last_modified_date)},
        "disabled": {"BOOL": identity.disabled},
        "revision": {"N": str(revision)},
        "logins": {"L": [{"M": _login_values(login)} for login in logins]},
    }


def new_identity(identity: Identity) -> Item:
    """Returns the item of a new identity."""
    return {
        **key_of_identity(identity.identity_id),
        "identity_id": {"S": identity.identity_id},
        "identity_pool_id": {"S": identity.identity_pool_id},
        "creation_date": {"N": str(identity.creation_date)},
        **identity_values(identity, identity.revision),
    }


def read_identity(item: Item) -> Identity:
    """Returns the identity in an item."""
    return Identity(
        identity_id=text(item, "identity_id"),
        identity_pool_id=text(item, "identity_pool_id"),
        creation_date=number(item, "creation_date"),
        last_modified_date=number(item, "last_modified_date"),
        logins=frozenset(_read_login(each["M"]) for each in item["logins"]["L"]),
        disabled=item["disabled"]["BOOL"],
        revision=number(item, "revision"),
    )


def new_signing_key(signing_key: SigningKey) -> Item:
    """Returns the item of a signing key."""
    return {
        **key_of_signing_key(signing_key.algorithm, signing_key.generation),
        "kid": {"S": signing_key.kid},
        "algorithm": {"S": signing_key.algorithm.value},
        "generation": {"N": str(signing_key.generation)},
        **material_values(signing_key.material),
        "creation_date": {"N": str(signing_key.creation_date)},
        **signs_from_values(signing_key.signs_from),
    }


def material_values(material: Secret) -> Item:
    """Returns the attributes that a rewrap of a signing key changes."""
    return {"private_key": {"B": material.reveal().encode()}}


def signs_from_values(signs_from: NumericDate) -> Item:
    """Returns the attributes that change with the time from which a key signs."""
    return {"signs_from": {"N": str(signs_from)}}


def read_signing_key(item: Item) -> SigningKey:
    """Returns the signing key in an item."""
    return SigningKey(
        kid=text(item, "kid"),
        algorithm=SigningAlgorithm(text(item, "algorithm")),
        generation=number(item, "generation"),
        material=Secret(item["private_key"]["B"].decode()),
        creation_date=number(item, "creation_date"),
        signs_from=number(item, "signs_from"),
    )


def new_fetch_record(record: FetchRecord) -> Item:
    """Returns the item of a server's notes."""
    return {
        **key(FETCHES, record.server),
        "noted_at": {"N": str(record.noted_at)},
        "document": {"B": record.document},
    }


def read_fetch_record(item: Item) -> FetchRecord:
    """Returns the server's notes in an item."""
    return FetchRecord(sort_key(item), number(item, "noted_at"), bytes(item["document"]["B"]))


def kept_pool_values(document: bytes, revision: int) -> Item:
    """Returns the mutable attributes of a stored pool."""
    return {"document": {"B": document}, "revision": {"N": str(revision)}}


def read_kept_pool(item: Item) -> KeptPool:
    """Returns the stored pool in an item."""
    return KeptPool(sort_key(item), bytes(item["document"]["B"]), number(item, "revision"))


def _login_values(login: Login) -> Item:
    # Bytes are returned unchanged, unlike text in Unicode.
    return {
        "provider_name": {"S": login.provider_name},
        "user_identifier": {"B": login.user_identifier.reveal().encode()},
    }


def _read_login(values: Item) -> Login:
    return Login(text(values, "provider_name"), Secret(values["user_identifier"]["B"].decode()))
