"""The exit codes of version 2 of the AWS CLI."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType


class ExitCode(IntEnum):
    """The exit codes; source: the AWS CLI's user guide, "Command line return codes"."""

    DONE = 0
    INTERRUPTED = 130
    USAGE = 252
    CONFIGURATION = 253
    SERVICE = 254
    OTHER = 255


#: The meaning of each code, for the help.
MEANINGS: Mapping[ExitCode, str] = MappingProxyType(
    {
        ExitCode.DONE: "Done.",
        ExitCode.INTERRUPTED: "Interrupted by SIGINT (Ctrl-C).",
        ExitCode.USAGE: "The command line or its input is not valid; nothing was sent.",
        ExitCode.CONFIGURATION: "The environment is not valid: a variable, or a file of the connection.",
        ExitCode.SERVICE: "The service returned an error.",
        ExitCode.OTHER: "Anything else: the service did not respond, or the output could not be written.",
    }
)
