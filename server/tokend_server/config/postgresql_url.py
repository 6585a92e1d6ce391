"""URLs of PostgreSQL in libpq's format ("Connection URIs").

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
"""

import re
from urllib.parse import unquote

from tokend_server.hosts import is_loopback

#: The form of such URLs in error texts.
FORM = "postgresql://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]...]/DATABASE[?PARAMETER=VALUE[&...]]"

_TEXT = r"(?:[\w.~!$'()*+;-]|%[0-9A-Fa-f]{2})"
_SECRET = rf"(?:[&=,]|{_TEXT})"
_HOST = rf"(?:\[[0-9A-Fa-f:.]+\]|{_TEXT}*)(?::\d{{1,5}})?"
_VALUE = rf"(?:[/:,@]|{_TEXT})*"
_PARAMETER = rf"[a-z_]+={_VALUE}"

_URL = re.compile(
    rf"postgresql://(?:{_SECRET}+(?::{_SECRET}*)?@)?(?P<place>{_HOST}(?:,{_HOST})*(?:/{_TEXT}*)?)"
    rf"(?:\?(?P<parameters>{_PARAMETER}(?:&{_PARAMETER})*))?",
    re.ASCII,
)

#: Parameters with passwords, which would be shown with the URL, or for which there is a setting.
_PASSWORDS = re.compile(r"(?:^|&)(password|passfile|sslpassword)=")


def read_postgresql(url: str) -> str:
    """Returns the URL, if it is valid.

    Raises:
        ValueError: It is not valid; the text does not contain it.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError(f"must be {FORM}, with special characters in a password encoded, such as %40 for @")
    if password := _PASSWORDS.search(found["parameters"] or ""):
        raise ValueError(f"must have no {password[1]} among its parameters: set store.password_file")
    return url


def is_unverified(url: str) -> bool:
    """Returns whether another machine could impersonate the server, because its certificate is not verified."""
    found = _URL.fullmatch(url)
    if found is None:
        return False
    # In libpq, parameters take precedence over the rest of the URL, and the last of duplicate parameters applies.
    parameters = dict(each.split("=", 1) for each in (found["parameters"] or "").split("&") if each)
    if parameters.get("sslmode") == "verify-full":
        return False
    hosts = parameters.get("hostaddr") or parameters.get("host", _hosts(found["place"]))
    return not all(_is_on_this_machine(unquote(each)) for each in hosts.split(","))


def _hosts(place: str) -> str:
    return ",".join(re.sub(r":\d+$", "", each) for each in place.partition("/")[0].split(","))


def _is_on_this_machine(host: str) -> bool:
    return not host or host.startswith("/") or is_loopback(host)


def redacted_postgresql(url: str) -> str:
    """Returns the URL without user, password and parameters."""
    found = _URL.fullmatch(url)
    return f"postgresql://{found['place'] if found else '...'}"
