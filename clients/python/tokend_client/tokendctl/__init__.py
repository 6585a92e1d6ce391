"""tokendctl: the developer-identity operations of a tokend service, on the command line."""

from tokend_client.tokendctl.commands import main

__all__ = ["main"]
