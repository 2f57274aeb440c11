"""The limits of requests: by caller, by address for everything else, and for sign-in and tickets."""

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from time import monotonic
from typing import Final

from application.access.limits_buckets import Buckets, Rate
from application.access.limits_sums import SharedSums, SharedUse
from application.access.limits_windows import Attempts, SharedWindow, Window
from application.identity import Principal

CALLER_PER_SECOND: Final = 2000
ADDRESS_PER_SECOND: Final = 20
SIGN_IN: Final = Window("sign-in", 10, 60)
TICKETS: Final = Window("tickets", 60, 60)

# The burst, as seconds of the rate.
_BURST: Final = 2
_MAX_REFUSED: Final = 10_000
_MAX_FREE: Final = 4000
_IPV6_PREFIX: Final = 64


class Limits:
    """The buckets that pay for requests, and the windows of attempts.

    A known caller has a bucket of its own. Everything else pays from the buckets of its address:
    one for requests without a credential, one for credentials that must be looked up.
    """

    def __init__(
        self,
        per_second: int = CALLER_PER_SECOND,
        window: SharedWindow | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        rate = Rate("default", per_second, _BURST * per_second)
        of_address = min(per_second, ADDRESS_PER_SECOND)
        self.callers = Buckets(rate, clock=clock)
        self.addresses = Buckets(Rate("address", of_address, _BURST * of_address), clock=clock)
        self.look_ups = LookUps(self.addresses)
        self.sign_in = Attempts(SIGN_IN, window, clock=clock)
        self.tickets = Attempts(TICKETS, window, clock=clock)

    def shared(self, sums: SharedSums) -> SharedUse:
        """The work that makes the buckets of all processes one."""
        return SharedUse(sums, (self.callers, self.addresses))


class LookUps:
    """Limits the look-ups of credentials, by address.

    A credential is named by a hash of its secret. While it is looked up, requests with the same one
    are free; if it proves valid, the address gets its token back. So an address pays for
    invalid credentials only. One that was refused pays like a request without any, so that a
    client with an old token takes no look-up from its neighbours.
    """

    def __init__(self, addresses: Buckets) -> None:
        self._addresses = addresses
        self._free: dict[int, int] = {}
        self._refused: OrderedDict[int, None] = OrderedDict()

    def take(self, address: str, credential: int) -> tuple[float, bool]:
        """As `Buckets.take`, and whether a look-up begins, whose end `ended` must hear of."""
        if credential in self._refused:
            return self._addresses.take(without_credential(address)), False
        free = self._free.get(credential)
        if free:
            self._free[credential] = free - 1
            return float(self._addresses.rate.burst), False
        left = self._addresses.take(_looking_up(address))
        if left >= 0:
            self._free[credential] = _MAX_FREE
        return left, left >= 0

    def ended(self, address: str, credential: int, is_valid: bool | None) -> None:
        """A look-up has ended; `is_valid` None: without a result."""
        self._free.pop(credential, None)
        if is_valid:
            self._addresses.give_back(_looking_up(address))
        elif is_valid is False:
            self._refused[credential] = None
            if len(self._refused) > _MAX_REFUSED:
                self._refused.popitem(last=False)


def payer_of(caller: Principal) -> str:
    """The key of a known caller: its credential, if it has one."""
    return caller.credential or caller.actor


def without_credential(address: str) -> str:
    """The key of an address for requests without a credential."""
    return f"address:{address}"


def _looking_up(address: str) -> str:
    return f"look-up:{address}"


@lru_cache(maxsize=4096)
def network_of(host: str) -> str:
    """The part of the internet that counts as one: an IPv4 address, or a /64 of IPv6.

    Anything else, such as a name, counts as itself.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address.packed, _IPV6_PREFIX), strict=False))
