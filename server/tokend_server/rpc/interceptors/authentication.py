"""The check that identifies the caller."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import grpc

from tokend_server.access.authentication.client_certificates import ClientCertificates
from tokend_server.access.authentication.presented import Authenticator, PresentedCredentials
from tokend_server.errors import CallerNotAllowed, CallerUnauthenticated
from tokend_server.model import ANONYMOUS
from tokend_server.rpc.call import Call
from tokend_server.rpc.interceptors.layers import Check, Method
from tokend_server.rpc.policy import Rule

_Read: TypeAlias = Callable[[Call, grpc.ServicerContext], PresentedCredentials]
_Identify: TypeAlias = Callable[[Call, grpc.ServicerContext], tuple[str, str]]

_NONE = (b"",)

_UNKNOWN = "The caller is not authenticated: no authenticator of this listener has accepted what the call presents."


def identifying_callers(
    authenticators: Sequence[tuple[str, Authenticator]],
    rules: Mapping[str, Rule],
    certificates: ClientCertificates | None = None,
) -> Callable[[Method], Check]:
    """Returns the check that identifies the caller, and refuses all calls of a method without a rule.

    Args:
        authenticators: The authenticators in order, with their names; if empty, callers are not identified.
        rules: What a caller needs for each method, by its path.
        certificates: Reads the clients' certificates if gRPC requires and verifies them. A call whose certificate is
            not valid now is refused, whatever the method and the authenticators.
    """
    read = partial(_with_certificate, certificates) if certificates else None

    def check_of(method: Method) -> Check:
        rule = rules.get(method.path)
        identify = _identify(authenticators, read, rule)

        def check(call: Call, context: grpc.ServicerContext) -> None:
            if rule is None:
                raise CallerNotAllowed("No rule allows this method.")
            call.authenticator, call.caller = identify(call, context)

        return check

    return check_of


def _identify(authenticators: Sequence[tuple[str, Authenticator]], read: _Read | None, rule: Rule | None) -> _Identify:
    authenticators = () if rule is Rule.NOTHING else authenticators
    if not authenticators and read is None:
        return lambda _call, _context: ("", ANONYMOUS)

    def identify(call: Call, context: grpc.ServicerContext) -> tuple[str, str]:
        presented = read(call, context) if read else call.presented
        for name, authenticator in authenticators:
            if caller := authenticator(presented):
                return name, caller
        if authenticators:
            raise CallerUnauthenticated(_UNKNOWN)
        return "", ANONYMOUS

    return identify


def _with_certificate(
    certificates: ClientCertificates, call: Call, context: grpc.ServicerContext
) -> PresentedCredentials:
    properties: Mapping[str, Any] = context.auth_context()
    (certificate,) = properties.get("x509_pem_cert", _NONE)
    (intermediates,) = properties.get("x509_pem_cert_chain", _NONE)
    read = certificates.read(certificate, intermediates)
    return call.presented._replace(uris=read.uris, dns_names=read.dns_names)
