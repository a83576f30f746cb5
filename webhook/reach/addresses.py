"""
Sets of IP addresses as sorted, disjoint integer ranges.

CIDRs are read as Go's `net.ParseCIDR` of Kubernetes reads them, so that a set means here what it means in the cluster:
leading zeros are decimal, host bits are cut off, an IPv4-mapped block is IPv4.
Source: https://pkg.go.dev/k8s.io/utils/net#ParseCIDRSloppy
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from itertools import pairwise
from operator import itemgetter

from webhook.errors import UnreadableError

Range = tuple[int, int]
"""First and last address, both included."""

IPV4_ALL: Range = (0, 2**32 - 1)
IPV6_ALL: Range = (0, 2**128 - 1)
IPV6_GLOBAL: Range = (2**125, 2**126 - 1)
"""2000::/3, all of IPv6 that is routed on the Internet."""

_DOTTED = re.compile(r"([0-9]{1,10})\.([0-9]{1,10})\.([0-9]{1,10})\.([0-9]{1,10})", re.ASCII)
_PREFIX = re.compile(r"[0-9]{1,5}", re.ASCII)
_SHOWN = 60
REMEMBERED = 4096
"""CIDRs that are not read again: a policy is written over and over, and beside it stand others of the same blocks."""
_PRECISION = 2**52


@dataclass(frozen=True, slots=True)
class Addresses:
    """A set of IPv4 and IPv6 addresses."""

    ipv4: tuple[Range, ...] = ()
    ipv6: tuple[Range, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ipv4 or self.ipv6)

    def __or__(self, other: "Addresses") -> "Addresses":
        return Addresses(_merged([*self.ipv4, *other.ipv4]), _merged([*self.ipv6, *other.ipv6]))

    def __sub__(self, other: "Addresses") -> "Addresses":
        return Addresses(_without(self.ipv4, other.ipv4), _without(self.ipv6, other.ipv6))

    def __le__(self, other: "Addresses") -> bool:
        return not (self - other)

    def __lt__(self, other: "Addresses") -> bool:
        return self <= other and self != other

    def meets(self, other: "Addresses") -> bool:
        """Say whether any address is in both."""
        return _meet(self.ipv4, other.ipv4) or _meet(self.ipv6, other.ipv6)

    @property
    def ipv4_share(self) -> float:
        """The share of all IPv4 addresses, rounded down."""
        return _share(self.ipv4, IPV4_ALL)

    @property
    def ipv6_share(self) -> float:
        """The share of 2000::/3, rounded down."""
        return _share(self.ipv6, IPV6_GLOBAL)


EVERYWHERE = Addresses((IPV4_ALL,), (IPV6_ALL,))
NOWHERE = Addresses()


def union(sets: Iterable[Addresses]) -> Addresses:
    """Join many sets at the cost of one sort."""
    parts = [each for each in sets if each]
    if len(parts) < 2:
        # As it nearly always is: a rule names one block, or none.
        return parts[0] if parts else NOWHERE
    return Addresses(_merged(r for each in parts for r in each.ipv4), _merged(r for each in parts for r in each.ipv6))


def read_cidr(text: str) -> Addresses:
    """Read one CIDR; raises `UnreadableError` where Go's parser would refuse it."""
    return read_spelled(text)[0]


@lru_cache(maxsize=REMEMBERED)
def read_spelled(text: str) -> tuple[Addresses, str]:
    """
    Read one CIDR, and say why tools read it differently, empty where they do not; raises like `read_cidr`.

    Kubernetes refuses such spellings since 1.36 (KEP-4858), and what was stored before stands. What can be read is
    short, so what is remembered is small.
    """
    address, slash, prefix = text.partition("/")
    if not slash or not _PREFIX.fullmatch(prefix):
        raise _unreadable(text)
    length = int(prefix)
    odd = "has a prefix with leading zeros" if len(prefix) > 1 and prefix[0] == "0" else ""
    if dotted := _DOTTED.fullmatch(address):
        octets = dotted.groups()
        if any(len(octet) > 1 and octet[0] == "0" for octet in octets):
            odd = odd or "has leading zeros, which some tools read as octal numbers"
        number = _number(octets, text)
        first, last = _block(number, length, 32, text)
        return Addresses(ipv4=((first, last),)), odd or _beyond(number, first)
    try:
        number = int(IPv6Address(address))
    except AddressValueError as error:
        raise _unreadable(text) from error
    if "%" in address:
        raise _unreadable(text)
    first, last = _block(number, length, 128, text)
    if number >> 32 == 0xFFFF:
        odd = odd or "is an IPv4-mapped IPv6 address, which some tools read as IPv6"
    odd = odd or _beyond(number, first)
    if first >> 32 == 0xFFFF and length >= 96:
        return Addresses(ipv4=((first & IPV4_ALL[1], last & IPV4_ALL[1]),)), odd
    return Addresses(ipv6=((first, last),)), odd


def _beyond(number: int, first: int) -> str:
    return "has bits set beyond its prefix" if number != first else ""


def _number(octets: tuple[str, ...], text: str) -> int:
    a, b, c, d = map(int, octets)
    if a > 255 or b > 255 or c > 255 or d > 255:
        raise _unreadable(text)
    return a << 24 | b << 16 | c << 8 | d


def _block(number: int, length: int, bits: int, text: str) -> Range:
    if length > bits:
        raise _unreadable(text)
    host = (1 << (bits - length)) - 1
    return number & ~host, number | host


def _unreadable(text: str) -> UnreadableError:
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return UnreadableError(f"{shown!r} is not a CIDR such as 10.0.0.0/8 or 2001:db8::/32")


def _merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _without(ranges: tuple[Range, ...], taken: tuple[Range, ...]) -> tuple[Range, ...]:
    gaps = _gaps(taken)
    left: list[Range] = []
    gap = next(gaps)
    for first, last in ranges:
        while gap[1] < first:
            gap = next(gaps)
        while gap[0] <= last:
            left.append((max(first, gap[0]), min(last, gap[1])))
            if gap[1] > last:
                break
            gap = next(gaps)
    return tuple(left)


def _meet(ranges: tuple[Range, ...], few: tuple[Range, ...]) -> bool:
    """Say whether two sets have an address in common; at the logarithm of the first for each of the second."""
    for first, last in few:
        before = bisect_right(ranges, last, key=itemgetter(0))
        if before and ranges[before - 1][1] >= first:
            return True
    return False


def _gaps(taken: tuple[Range, ...]) -> Iterator[Range]:
    """Yield what lies between the ranges, in order; the last gap never ends."""
    edges = [(-1, -1), *taken, (2**129, 2**129)]
    for (_, before), (after, _) in pairwise(edges):
        if before + 1 <= after - 1:
            yield before + 1, after - 1
    yield 2**130, 2**131


def _share(ranges: tuple[Range, ...], whole: Range) -> float:
    if not ranges:
        return 0.0
    count = sum(max(0, min(last, whole[1]) - max(first, whole[0]) + 1) for first, last in ranges)
    # Rounded down to a float that is exact, so that just under a quarter never reads as a quarter.
    return (count * _PRECISION // (whole[1] - whole[0] + 1)) / _PRECISION
