"""Identifies callers by Envoy's `x-forwarded-client-cert` header, in which a proxy forwards a client certificate.

The grammar is that of Envoy's documentation ("HTTP header manipulation"), as Envoy 1.40 implements it: `By` is repeated
for each URI SAN of the proxy, a `URI` is empty if the certificate has none, an `=` in a value is not always quoted, and
a quoted `Subject` has the escapes of RFC 4514. Envoy does not quote URIs and DNS names, so the authority of the
certificates must not certify names that contain a `,` or `;`.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from tokend_server.access.authentication.certificate import caller_of
from tokend_server.access.authentication.presented import PresentedCredentials
from tokend_server.callers.patterns import Pattern
from tokend_server.errors import CallerUnauthenticated

#: One pair and its separator. The alternatives exclude each other, so that it is matched in one pass.
_PAIR = re.compile(r'([A-Za-z]+)=(?:"((?:[ !#-\[\]-~]|\\[ -~])*)"|([ !#-+\--:<-~]*))([,;]|\Z)')
_ESCAPE = re.compile(r'\\(["\\])')

_SINGLE = frozenset({"hash", "cert", "chain", "subject"})
_REPEATABLE = frozenset({"by", "uri", "dns"})


class Pair(NamedTuple):
    """A key-value pair of an element: the key in lower case, and the value without quotes."""

    key: str
    value: str


class ForwardedCertificateAuthenticator:
    """Identifies callers by the certificate that a trusted proxy forwards.

    The header is trusted on a unix socket, and on a TLS connection whose client certificate names a trusted proxy. On
    all other connections it is ignored.

    Args:
        trusted_proxies: Patterns of the names of proxies.

    Raises:
        ValueError: A pattern is malformed.
    """

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        self._trusted_proxies = tuple(Pattern(proxy) for proxy in trusted_proxies)

    def __call__(self, presented: PresentedCredentials) -> str | None:
        """Returns the name in the certificate that the proxy itself has verified.

        Raises:
            CallerUnauthenticated: There are several headers, or the header is malformed.
        """
        headers = presented.forwarded_client_certs
        if not headers or not self._trusts(presented):
            return None
        if len(headers) > 1:
            raise CallerUnauthenticated("There is more than one x-forwarded-client-cert header.")
        own_element = parse(headers[0])[-1]  # the proxy received the earlier elements with the request
        return caller_of(_values(own_element, "uri"), _values(own_element, "dns"))

    def _trusts(self, presented: PresentedCredentials) -> bool:
        if presented.unix_socket:
            return True
        peer = caller_of(presented.uris, presented.dns_names)
        return peer is not None and any(proxy.matches(peer) for proxy in self._trusted_proxies)


def parse(header: str) -> list[list[Pair]]:
    """Parses a header into its elements; the last one is from the nearest proxy.

    The parser is strict: a quote that a client leaves open must not hide the element that a proxy appends.

    Raises:
        CallerUnauthenticated: The header is malformed.
    """
    elements: list[list[Pair]] = [[]]
    position, separator = 0, ";"
    while separator:
        read = _PAIR.match(header, position)
        if read is None:
            raise _unreadable()
        key, quoted, plain, separator = read.groups()
        _add(elements[-1], Pair(key.lower(), plain if quoted is None else _ESCAPE.sub(r"\1", quoted)))
        if separator == ",":
            elements.append([])
        position = read.end()
    return elements


def _add(element: list[Pair], pair: Pair) -> None:
    known = pair.key in _REPEATABLE or (pair.key in _SINGLE and not _values(element, pair.key))
    if not known:
        raise _unreadable()
    element.append(pair)


def _values(element: Iterable[Pair], key: str) -> list[str]:
    return [pair.value for pair in element if pair.key == key]


def _unreadable() -> CallerUnauthenticated:
    return CallerUnauthenticated("The x-forwarded-client-cert header cannot be read.")
