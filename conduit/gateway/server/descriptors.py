"""How many connections the system lets this process hold."""

import sys
from typing import Final

_WANTED: Final = 65_536


def allow_many_connections() -> int | None:
    """Raise the process's own limit of open files as far as it may; what it is then.

    None where the system has no such limit. Systems give a process 1,024 by custom, which a few
    hundred clients with their providers' connections would use up.
    """
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415  # there is none on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return None if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # some systems allow less than they say
        return soft
    return wanted
