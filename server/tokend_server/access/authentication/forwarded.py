"""Envoy's `x-forwarded-client-cert` header: whose certificate a proxy has seen.

The grammar is that of Envoy's documentation ("HTTP header manipulation"), as Envoy 1.40 writes it: `By` is there once
for each URI SAN of the proxy, a `URI` is empty where the certificate has none, an `=` in a value is not always quoted,
and a quoted `Subject` has the escapes of RFC 4514. Envoy quotes no URI and no DNS name, so the authority of the
certificates must not certify any that has a `,` or `;` in it.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from tokend_server.access.authentication.certificate import caller_of
from tokend_server.access.authentication.presented import Presented
from tokend_server.callers.patterns import Pattern
from tokend_server.errors import CallerUnauthenticated

#: One pair, with what separates it from the next. The alternatives exclude each other, so that it is read in one pass.
_PAIR = re.compile(r'([A-Za-z]+)=(?:"((?:[ !#-\[\]-~]|\\[ -~])*)"|([ !#-+\--:<-~]*))([,;]|\Z)')
_ESCAPE = re.compile(r'\\(["\\])')

_SINGLE = frozenset({"hash", "cert", "chain", "subject"})
_REPEATABLE = frozenset({"by", "uri", "dns"})


class Pair(NamedTuple):
    """One fact of an element: its key in lower case, and its value without quotes."""

    key: str
    value: str


class ForwardedCertificateAuthenticator:
    """Tells who calls by the certificate that a trusted proxy has seen.

    The header is believed when it comes by a unix socket, or over a TLS connection whose own certificate names a
    trusted proxy. Anyone else's is ignored, whatever it says.

    Args:
        trusted_proxies: Patterns of the names of proxies.

    Raises:
        ValueError: One of them is not a pattern.
    """

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        self._trusted_proxies = tuple(Pattern(proxy) for proxy in trusted_proxies)

    def __call__(self, presented: Presented) -> str | None:
        """The name by the certificate that the proxy itself has seen.

        Raises:
            CallerUnauthenticated: There are several headers, or the one there is cannot be read.
        """
        headers = presented.forwarded_client_certs
        if not headers or not self._believes(presented):
            return None
        if len(headers) > 1:
            raise CallerUnauthenticated("There is more than one x-forwarded-client-cert header.")
        own_word = parse(headers[0])[-1]  # what is before it came to the proxy with the request
        return caller_of(_values(own_word, "uri"), _values(own_word, "dns"))

    def _believes(self, presented: Presented) -> bool:
        if presented.unix_socket:
            return True
        peer = caller_of(presented.uris, presented.dns_names)
        return peer is not None and any(proxy.matches(peer) for proxy in self._trusted_proxies)


def parse(header: str) -> list[list[Pair]]:
    """Reads a header into its elements, the last one being the nearest proxy's.

    Nothing but the whole grammar is read: a quote that a client leaves open must not swallow what a proxy appends.

    Raises:
        CallerUnauthenticated: It is not of the grammar.
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
