"""When Python looks for cycles of garbage, which takes the longer the more stands."""

import gc


def let_lie() -> None:
    """
    Have it looked for no more among what stands by now, which stays or goes by itself.

    Modules, policies and the tree are hundreds of thousands of objects: to look at them all takes a tenth of a second,
    in which nobody is answered.
    """
    gc.collect()
    gc.freeze()
