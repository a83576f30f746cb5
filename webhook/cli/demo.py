"""`portcullis demo`."""


def demo() -> None:
    """Demo."""
