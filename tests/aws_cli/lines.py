"""Command lines of both `aws cognito-identity` and tokendctl, and the few with different meanings."""

import shlex
from collections.abc import Mapping, Sequence
from types import MappingProxyType

#: The replacements of words in a line.
WORDS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "GET": ["get-open-id-token-for-developer-identity"],
        "LOOKUP": ["lookup-developer-identity"],
        "MERGE": ["merge-developer-identities"],
        "UNLINK": ["unlink-developer-identity"],
        "POOL": ["--identity-pool-id", "us-east-1:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"],
        "LOGINS": ["--logins", "login.example.internal=alice"],
        "USERS": ["--source-user-identifier", "alice", "--destination-user-identifier", "bob"],
        "PROVIDER": ["--developer-provider-name", "login.example.internal"],
        "IDENTITY": ["--identity-id", "us-east-1:11111111-2222-4333-8444-555555555555"],
        "USER": ["--developer-user-identifier", "alice"],
    }
)

#: Files in the working directory of the lines.
FILES: Mapping[str, bytes] = MappingProxyType(
    {
        "alice": b"alice",
        "alice-and-newline": b"alice\n",
        "alice-and-crlf": b"alice\r\n",
        "number": b"60\n",
        "logins": b"login.example.internal=alice,accounts.google.com=ey.ey.x==",
        "logins.json": b'{"login.example.internal": "alice"}\n',
        "unicode": "Ålice".encode(),
        "latin-1": b"\xc5lice",
        "get.json": b'{"IdentityPoolId": "us-east-1:1", "Logins": {"p": "u"}, "TokenDuration": 60}',
        "lookup.json": b'{"IdentityPoolId": "us-east-1:1", "DeveloperUserIdentifier": "u", "MaxResults": 5}',
        "broken.json": b'{"IdentityPoolId": "us-east-1:1"',
        "array.json": b"[1, 2]",
    }
)

_REQUESTS = """
GET POOL LOGINS
GET POOL IDENTITY LOGINS
GET POOL LOGINS --token-duration 3600
GET POOL LOGINS --token-duration=3600
GET POOL LOGINS --token-duration 86401
GET POOL LOGINS --token-duration -1
GET POOL LOGINS --token-duration 0
GET POOL LOGINS --token-duration ' 60 '
GET POOL LOGINS --token-duration +60
GET POOL LOGINS --token-duration file://number
GET POOL LOGINS --token-duration
GET POOL LOGINS --token-duration ''
GET POOL LOGINS --token-duration 1.5
GET POOL LOGINS --principal-tags team=red
GET POOL LOGINS --principal-tags team=red,stage=prod
GET POOL LOGINS --principal-tags '{"team": "red", "cost centre": "1"}'
GET POOL LOGINS --principal-tags '{}'
GET POOL LOGINS --principal-tags team=
GET POOL LOGINS --principal-tags =red
GET POOL --logins login.example.internal=alice,accounts.google.com=ey.ey.x==
GET POOL --logins 'login.example.internal="Doe, Jane"'
GET POOL --logins "login.example.internal='Doe, Jane'"
GET POOL --logins 'login.example.internal="say \\"hi\\""'
GET POOL --logins 'login.example.internal=Doe\\, Jane'
GET POOL --logins 'login.example.internal = alice , accounts.google.com = x'
GET POOL --logins login.example.internal=a=b
GET POOL --logins login.example.internal=Ålice
GET POOL --logins '{"login.example.internal": "alice"}'
GET POOL --logins ' {"login.example.internal": "alice"}'
GET POOL --logins '{"login.example.internal": "Ålice \\u00e5"}'
GET POOL --logins '{}'
GET POOL --logins ''
GET POOL --logins login.example.internal
GET POOL --logins login.example.internal=
GET POOL --logins a=b,a=c
GET POOL --logins a=b,c
GET POOL --logins a=b,
GET POOL --logins a=[b]
GET POOL --logins a={b=c}
GET POOL --logins 'a=b' 'c=d'
GET POOL --logins 'a="b'
GET POOL --logins '["a"]'
GET POOL --logins '{"a": 1}'
GET POOL --logins '{"a": null}'
GET POOL --logins '{"a": "b"'
GET POOL --logins '{"a": "b", "a": "c"}'
GET POOL --logins "'cost centre'=red"
GET POOL --logins file://logins
GET POOL --logins file://logins.json
GET POOL --logins file://nowhere
GET POOL --logins login.example.internal@=file://alice
GET POOL --logins login.example.internal@=file://alice-and-newline
GET POOL --logins login.example.internal=file://alice
GET POOL --logins login.example.internal@=alice
GET POOL --logins login.example.internal@=file://nowhere
GET POOL
GET LOGINS
GET
GET POOL IDENTITY
GET --identity-pool-id '' LOGINS
GET POOL --identity-id '' LOGINS
GET POOL LOGINS --identity-id
GET POOL LOGINS --identity-id --token-duration 60
GET POOL LOGINS --identity-id=-x
GET POOL --identity-pool-id us-east-1:2 LOGINS
GET --identity-pool us-east-1:3 --log a=b --token-dur 7
GET --identity us-east-1:3 LOGINS
LOOKUP POOL
LOOKUP POOL USER
LOOKUP POOL IDENTITY
LOOKUP POOL IDENTITY USER
LOOKUP POOL USER --max-results 1
LOOKUP POOL USER --max-results 60 --next-token abc
LOOKUP POOL USER --max-results 61
LOOKUP POOL USER --max-results 0
LOOKUP POOL USER --max-results ten
LOOKUP POOL USER --next-token ''
LOOKUP POOL --developer-user-identifier file://alice
LOOKUP POOL --developer-user-identifier file://alice-and-newline
LOOKUP POOL --developer-user-identifier file://alice-and-crlf
LOOKUP POOL --developer-user-identifier file://unicode
LOOKUP POOL --developer-user-identifier file://latin-1
LOOKUP POOL --developer-user-identifier fileb://alice
LOOKUP POOL --developer-user-identifier ''
LOOKUP POOL --developer-user-identifier help
MERGE POOL USERS PROVIDER
MERGE POOL PROVIDER
MERGE POOL USERS
MERGE POOL USERS --developer-provider-name ''
UNLINK POOL IDENTITY PROVIDER USER
UNLINK POOL IDENTITY PROVIDER
UNLINK POOL --identity-id '' PROVIDER USER
"""

_DOCUMENTS = """
GET --cli-input-json file://get.json
GET --cli-input-json file://get.json --token-duration 7
GET --cli-input-json file://get.json LOGINS
GET --cli-input-json '{"IdentityPoolId": "us-east-1:1", "Logins": {"p": "u"}, "PrincipalTags": {"team": "red"}}'
GET --cli-input-json '{"Logins": {"p": "file://alice"}}' POOL
GET --cli-input-json '{}' POOL LOGINS
GET --cli-input-json '{"Logins": {}}' POOL
GET --cli-input-json '{"IdentityPoolId": "us-east-1:1"}'
GET --cli-input-json '{"IdentityId": "", "Logins": {"p": "u"}}' POOL
GET --cli-input-json '{"IdentityId": null}' POOL LOGINS
GET --cli-input-json '{"TokenDuration": "60"}' POOL LOGINS
GET --cli-input-json '{"TokenDuration": 0}' POOL LOGINS
GET --cli-input-json '{"TokenDuration": 60.5}' POOL LOGINS
GET --cli-input-json '{"Logins": ["p"]}' POOL
GET --cli-input-json '{"Colour": "red"}' POOL LOGINS
GET --cli-input-json '' POOL LOGINS
GET --cli-input-json '{' POOL LOGINS
GET --cli-input-json file://broken.json
GET --cli-input-json file://nowhere
GET --cli-input-json POOL LOGINS
LOOKUP --cli-input-json file://lookup.json
LOOKUP --cli-input-json file://lookup.json --max-results 6
GET --generate-cli-skeleton
GET --generate-cli-skeleton input
GET --generate-cli-skeleton output POOL LOGINS
GET --generate-cli-skeleton output
GET --generate-cli-skeleton nonsense
GET POOL LOGINS --generate-cli-skeleton
LOOKUP --generate-cli-skeleton
LOOKUP POOL --generate-cli-skeleton output
LOOKUP POOL --generate-cli-skeleton output --query IdentityId --output text
MERGE --generate-cli-skeleton
UNLINK --generate-cli-skeleton
UNLINK POOL IDENTITY PROVIDER USER --generate-cli-skeleton output
"""

_OUTPUTS = """
GET POOL LOGINS --query Token --output text
GET POOL LOGINS --query IdentityId --output text
GET POOL LOGINS --query '[IdentityId, Token]' --output text
GET POOL LOGINS --query '{id: IdentityId, t: Token}'
GET POOL LOGINS --query Nothing
GET POOL LOGINS --query Nothing --output text
GET POOL LOGINS --query '['
GET POOL LOGINS --query 'length(Token)'
GET POOL LOGINS --query 'length(Nothing)'
GET POOL LOGINS --output json
GET POOL LOGINS --output text
GET POOL LOGINS --output table
GET POOL LOGINS --output xml
LOOKUP POOL USER --output text
LOOKUP POOL USER --output table
LOOKUP POOL USER --query DeveloperUserIdentifierList --output text
LOOKUP POOL USER --query DeveloperUserIdentifierList --output table
LOOKUP POOL USER --query 'DeveloperUserIdentifierList[0]'
LOOKUP POOL USER --query 'DeveloperUserIdentifierList[].{user: @, size: length(@)}' --output text
LOOKUP POOL USER --query 'DeveloperUserIdentifierList[].{user: @, size: length(@)}' --output table
LOOKUP POOL USER --query 'length(DeveloperUserIdentifierList)'
MERGE POOL USERS PROVIDER --output table
UNLINK POOL IDENTITY PROVIDER USER --output text
UNLINK POOL IDENTITY PROVIDER USER --output table
UNLINK POOL IDENTITY PROVIDER USER --query IdentityId
--region us-east-1 GET POOL LOGINS
--output text --query Token GET POOL LOGINS
GET POOL LOGINS --region us-east-1
GET POOL LOGINS --region eu-west-1
GET POOL LOGINS --no-paginate
GET POOL LOGINS --no-cli-pager
GET POOL LOGINS --color off
GET POOL LOGINS --color purple
GET POOL LOGINS --nonsense
GET POOL LOGINS --nonsense=1
GET POOL LOGINS stray
NONSENSE POOL
"""

_FAILURES = """
GET --identity-pool-id us-east-1:ResourceNotFoundException LOGINS
GET --identity-pool-id us-east-1:NotAuthorizedException LOGINS
GET --identity-pool-id us-east-1:InvalidParameterException LOGINS
GET --identity-pool-id us-east-1:ResourceConflictException LOGINS
GET --identity-pool-id us-east-1:DeveloperUserAlreadyRegisteredException LOGINS
LOOKUP --identity-pool-id us-east-1:ValidationException USER
LOOKUP --identity-pool-id us-east-1:TooManyRequestsException USER
LOOKUP --identity-pool-id us-east-1:InternalErrorException USER --output text
MERGE --identity-pool-id us-east-1:LimitExceededException USERS PROVIDER
UNLINK --identity-pool-id us-east-1:ResourceNotFoundException IDENTITY PROVIDER USER
"""

LINES: tuple[str, ...] = tuple(
    line for lines in (_REQUESTS, _DOCUMENTS, _OUTPUTS, _FAILURES) for line in lines.strip().splitlines()
)

#: The lines that tokendctl handles differently, with reasons.
DIFFERENCES: Mapping[str, str] = MappingProxyType(
    {
        "GET POOL LOGINS --token-duration file://number": "AWS's CLI reads no number from a file, tokendctl does",
        'GET POOL --logins \'{"a": "b", "a": "c"}\'': "AWS's CLI takes the last of two logins, tokendctl refuses both",
        "GET POOL --logins \"'cost centre'=red\"": "in AWS's shorthand a key has no quotes, in tokendctl's it may",
        "GET POOL --logins login.example.internal@=file://nowhere": (
            "AWS's CLI ends with 255 where only a value is in a file, tokendctl with 252 for each file"
        ),
        "LOOKUP POOL USER --max-results ten": "AWS's CLI ends with 255 where a number is none, tokendctl with 252",
        "LOOKUP POOL --developer-user-identifier fileb://alice": (
            "AWS's CLI takes bytes for no string, tokendctl takes UTF-8"
        ),
        "GET POOL LOGINS --region eu-west-1": "AWS's CLI asks the endpoint, tokendctl refuses: no call would fit",
    }
)


def words(line: str) -> list[str]:
    """Splits a line into words."""
    return [word for each in shlex.split(line) for word in WORDS.get(each, [each])]
