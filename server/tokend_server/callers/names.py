"""How callers' names are spelled: in printable ASCII without spaces, so that policy, logs and metrics see one name.

The subject of a JWT may have any characters but control characters. Those outside `!` to `~`, and `%` itself, are
percent-encoded octet by octet in UTF-8 (RFC 3986, section 2.1, with capital letters); the others stand for themselves.
No two subjects have the same spelling.
"""

import re
from ipaddress import IPv6Address, IPv6Network, ip_address
from urllib.parse import quote

#: What the names of callers begin with whose requests are not signed.
UNSIGNED = "unsigned:"

_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_PLAIN = _PRINTABLE.replace("%", "")

_NAME = re.compile(r"[!-~]*")

#: What `%` begins in no name: all that is encoded is a space, `%`, and octets beyond ASCII.
_NEVER_ENCODED = re.compile("%(?!20|25|[89A-F][0-9A-F])")


def name_by_token(issuer_name: str, subject: str) -> str:
    """The name of a caller with a JWT.

    Args:
        issuer_name: The issuer's name in the configuration, without a colon.
        subject: The token's `sub`.
    """
    return f"jwt:{issuer_name}:{quote(subject, safe=_PLAIN)}"


def name_by_address(address: str) -> str:
    """The name of a caller that shows nothing but where it calls from, as devices of users do.

    Args:
        address: An IP address. Of IPv6 the network of 64 bits counts, of which whoever has one address has all.
    """
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    place = IPv6Network((ip, 64), strict=False) if isinstance(ip, IPv6Address) else ip
    return f"{UNSIGNED}{place}"


def check_spelling(text: str) -> str:
    """Returns a name, or a pattern of names, if a caller's name can be spelled so.

    Raises:
        ValueError: It cannot, for the reason in the text, which says how to spell it.
    """
    if not _NAME.fullmatch(text):
        spelled = quote(text, safe=_PRINTABLE, errors="surrogatepass")
        raise ValueError(
            "no caller's name has white space, control characters or characters beyond ASCII; "
            f"a JWT's subject has them percent-encoded: {spelled}"
        )
    if _NEVER_ENCODED.search(text):
        raise ValueError(
            "in a caller's name % begins an encoded octet of a JWT's subject, with capital letters: "
            "%20 for a space, %25 for % itself, %80 to %FF beyond ASCII"
        )
    return text
