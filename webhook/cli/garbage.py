"""What is done once about memory when all stands that stays: what stands is left alone, and what is free given back."""

import ctypes
import gc


def let_lie() -> None:
    """
    Have it looked for no more among what stands by now, which stays or goes by itself.

    Modules, policies and the tree are hundreds of thousands of objects: to look at them all takes a tenth of a second,
    in which nobody is answered. What it took to get there, above all to compile the policies, goes back to the system.
    """
    gc.collect()
    gc.freeze()
    # glibc keeps it otherwise; other C libraries have no such call.
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
