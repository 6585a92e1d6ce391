"""`python confined.py UNIT WRITABLE COMMAND…`: runs a command with the restrictions of a systemd unit, without systemd.

The kernel enforces them: a read-only tree except for one directory, no capabilities, limits, a filter of system calls
and of address families, no memory that is both writable and executable. Settings of users, and those that hide parts of
the tree, are ignored.
"""

import ctypes
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_SET_NO_NEW_PRIVS, _CAPBSET_DROP, _SET_MDWE = 38, 24, 65
_LAST_CAPABILITY = 63
_ERRNO = 0x00050000
_ALLOW = 0x7FFF0000
_EQUAL = 4


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp` of libseccomp."""

    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def settings_of(unit: Path) -> dict[str, list[str]]:
    """Returns the settings of a unit, each with all its values."""
    settings: dict[str, list[str]] = {}
    for line in unit.read_text("utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            settings.setdefault(name, []).append(value)
    return settings


def confine(settings: dict[str, list[str]], writable: Path) -> None:
    """Applies the settings to this process, and to the programs that it executes."""
    libc = ctypes.CDLL(None, use_errno=True)
    if settings["ProtectSystem"] == ["strict"]:
        for options in (["--bind", writable, writable], ["-o", "remount,bind,ro", "/"]):
            subprocess.run(["mount", *options], check=True)
    os.umask(int(settings["UMask"][0], 8))
    resource.setrlimit(resource.RLIMIT_CORE, (int(settings["LimitCORE"][0]),) * 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, int(settings["LimitNOFILE"][0])))
    if settings["CapabilityBoundingSet"] == [""]:
        for capability in range(_LAST_CAPABILITY + 1):
            libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)  # those that the kernel lacks fail
    for name, option in (("NoNewPrivileges", _SET_NO_NEW_PRIVS), ("MemoryDenyWriteExecute", _SET_MDWE)):
        if settings[name] == ["yes"] and libc.prctl(option, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), name)
    _filter(settings["SystemCallFilter"], settings["RestrictAddressFamilies"][0].split())


def _filter(groups: list[str], families: list[str]) -> None:
    """Allows only the system calls of the groups, except those with `~`, and only sockets of the address families."""
    allowed: set[str] = set()
    for group in groups:
        names = set(_system_calls(group.lstrip("~")))
        allowed = allowed - names if group.startswith("~") else allowed | names
    allowed |= {"execve"}  # systemd lets a unit begin its program
    seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    seccomp.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    seccomp.seccomp_rule_add_array.argtypes += [ctypes.POINTER(_Comparison)]
    seccomp.seccomp_load.argtypes = [ctypes.c_void_p]
    rules = seccomp.seccomp_init(_ERRNO | 1)  # EPERM
    for name in sorted(allowed):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number < 0:  # of another architecture
            continue
        conditions = [_Comparison(0, _EQUAL, getattr(socket, family), 0) for family in families]
        for each in conditions if name == "socket" else [None]:
            if seccomp.seccomp_rule_add_array(
                rules, _ALLOW, number, int(each is not None), each and ctypes.byref(each)
            ):
                raise OSError(f"no rule for {name}")
    if seccomp.seccomp_load(rules):
        raise OSError("the filter cannot be set")


def _system_calls(group: str) -> Iterator[str]:
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], check=True, capture_output=True, encoding="utf-8"
    ).stdout
    for line in listed.splitlines()[1:]:
        name = line.strip()
        if name.startswith("@"):
            yield from _system_calls(name)
        elif name and not name.startswith("#"):
            yield name


if __name__ == "__main__":
    _unit, _writable, *_command = sys.argv[1:]
    confine(settings_of(Path(_unit)), Path(_writable))
    os.execv(_command[0], _command)
