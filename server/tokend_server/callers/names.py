"""The spelling of callers' names: printable ASCII without spaces, so that it is the same in policy, logs and metrics.

The subject of a JWT may have any characters except control characters. Characters outside `!` to `~`, and `%` itself,
are percent-encoded octet by octet in UTF-8 (RFC 3986, section 2.1, in upper case); the others are unchanged. Different
subjects have different spellings.
"""

import re
from ipaddress import IPv6Address, IPv6Network, ip_address
from urllib.parse import quote

#: The prefix of the names of callers whose requests are not signed.
UNSIGNED = "unsigned:"

_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_PLAIN = _PRINTABLE.replace("%", "")

_NAME = re.compile(r"[!-~]*")

#: An invalid use of `%` in a name: only spaces, `%`, and non-ASCII octets are encoded.
_NEVER_ENCODED = re.compile("%(?!20|25|[89A-F][0-9A-F])")


def name_by_token(issuer_name: str, subject: str) -> str:
    """Returns the name of a caller with a JWT.

    Args:
        issuer_name: The issuer's name in the configuration, without a colon.
        subject: The token's `sub`.
    """
    return f"jwt:{issuer_name}:{quote(subject, safe=_PLAIN)}"


def name_by_address(address: str) -> str:
    """Returns the name of a caller without credentials, such as a user's device.

    Args:
        address: An IP address. For IPv6, the /64 network is used, because a host can use all of its addresses.
    """
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    place = IPv6Network((ip, 64), strict=False) if isinstance(ip, IPv6Address) else ip
    return f"{UNSIGNED}{place}"


def check_spelling(text: str) -> str:
    """Returns a name, or a pattern of names, if it is a valid spelling.

    Raises:
        ValueError: It is not valid; the text has the reason and the correct spelling.
    """
    if not _NAME.fullmatch(text):
        spelled = quote(text, safe=_PRINTABLE, errors="surrogatepass")
        raise ValueError(
            "a caller's name has no white space, control characters or non-ASCII characters; "
            f"a JWT's subject has them percent-encoded: {spelled}"
        )
    if _NEVER_ENCODED.search(text):
        raise ValueError(
            "in a caller's name, % begins an encoded octet of a JWT's subject, in upper case: "
            "%20 for a space, %25 for % itself, %80 to %FF for non-ASCII"
        )
    return text
