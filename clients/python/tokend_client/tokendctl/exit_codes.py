"""The exit codes, which are those of version 2 of the AWS CLI."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType


class ExitCode(IntEnum):
    """How the process ends; source: the AWS CLI's user guide, "Command line return codes"."""

    DONE = 0
    INTERRUPTED = 130
    USAGE = 252
    CONFIGURATION = 253
    SERVICE = 254
    OTHER = 255


#: What each code means, for the help.
MEANINGS: Mapping[ExitCode, str] = MappingProxyType(
    {
        ExitCode.DONE: "Done.",
        ExitCode.INTERRUPTED: "Interrupted by SIGINT (Ctrl-C).",
        ExitCode.USAGE: "The command line or its input is not valid; nothing was sent.",
        ExitCode.CONFIGURATION: "The environment is not valid: a variable, or a file of the connection.",
        ExitCode.SERVICE: "The service answered with an error.",
        ExitCode.OTHER: "Anything else: the service did not answer, or the output could not be written.",
    }
)
