"""A child that is gone when we are gone, however that comes."""

import os
import sys
from pathlib import Path

# Becomes the child (OPA, say) after asking the kernel to kill it when we die. Of the ways to do so this is the one that
# is always there and always safe: `preexec_fn` runs Python between fork and exec, which may deadlock in a process with
# threads; `setpriv --pdeathsig` is missing from small images. It costs 15 ms a start and leaves nothing behind, since
# exec keeps the pid and the request. The kernel's "parent" is the thread that forked: with asyncio and uvloop the
# one of the loop, and an OPA whose loop is gone has nobody who asks or watches it. If we died before
# the request was made, nothing would be sent any more, so the parent is compared afterwards.
# Where memory ends the kernel is to take OPA, which is started again, rather than us; /proc may be closed to us.
TETHER = """
import contextlib, ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL)) != 0:
    sys.exit("it cannot be tied to the life of its parent: prctl failed")
if os.getppid() != int(sys.argv[1]):
    sys.exit("its parent died before it began")
with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
    score.write("500")
os.execv(sys.argv[2], sys.argv[2:])
"""


def tethered(binary: Path, arguments: list[str]) -> list[str]:
    """Return the command that runs `binary` with `arguments` under its own pid, and no longer than we live."""
    return [sys.executable, "-I", "-S", "-c", TETHER, str(os.getpid()), str(binary), *arguments]
