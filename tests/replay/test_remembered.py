"""What has been decided is known for a while, in memory that does not grow."""

from webhook.replay.remembered import Remembered


def test_what_has_been_known_longest_goes_first() -> None:
    """A new one takes its place, and one that is kept again does not."""
    known: Remembered[int] = Remembered(2)
    for digest, thing in ((b"a", 1), (b"b", 2), (b"b", 3), (b"c", 4)):
        known.keep(digest, thing)
    assert [known.find(each) for each in (b"a", b"b", b"c", b"d")] == [None, 3, 4, None]
