"""Linux namespaces, as in containers."""

import subprocess

from tests.clients.toolchains import leave_out, need


def first_process() -> list[str]:
    """Returns the prefix that runs a command as the first process of a namespace, like a container's entrypoint."""
    unshare = [need("unshare", "the first process of a container"), "--user", "--map-root-user", "--pid", "--fork"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        leave_out("the system gives no namespaces, so that the first process of a container is left out")
    return unshare
