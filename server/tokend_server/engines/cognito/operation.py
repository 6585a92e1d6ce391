from typing import Literal, TypeAlias, get_args

#: The operations of Cognito that are called, by their AWS names.
Operation: TypeAlias = Literal[
    "GetOpenIdTokenForDeveloperIdentity",
    "LookupDeveloperIdentity",
    "MergeDeveloperIdentities",
    "UnlinkDeveloperIdentity",
]

OPERATIONS: tuple[Operation, ...] = get_args(Operation)
