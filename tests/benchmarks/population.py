"""Generated people like those of a large directory: few names are common, most are rare."""

import random
from itertools import accumulate
from typing import Final

from msgspec import Struct

_FIRST: Final = ("Ann", "Ás", "Bo", "Chi", "Dag", "El", "Fre", "Gus", "Hån", "In", "Jo", "Kai")
_MIDDLE: Final = ("", "a", "e", "na", "li", "ri", "mo", "be", "sa", "te", "vi", "ko", "du")
_LAST: Final = ("", "n", "a", "s", "rt", "ne", "é", "la", "x", "ta", "o", "rk")
_INITIALS: Final = "bcdfghjklmnprstvwz"
_DOMAINS: Final = ("example.com", "example.org", "example.net", "rare-domain.example")
_POOL: Final = 1 << 16
RARE_WORD: Final = "Quetzalcoatl"
_ONE_IS_RARE: Final = 50_000


class Person(Struct, frozen=True):
    name: str
    email: str
    role: str


class Population:
    """People by number, the same in every run; `size` is their total number."""

    def __init__(self, rng: random.Random, size: int) -> None:
        self._rng = rng
        self._size = size
        self._first = _pool(rng, [f + m + e for f in _FIRST for m in _MIDDLE for e in _LAST])
        stems = [
            f"{i}{m}{v}{e}" for i in _INITIALS for m in "aeiou" for v in _MIDDLE for e in _LAST
        ]
        self._last = _pool(rng, [f"{s}{e}".title() for s in stems for e in ("sson", "berg", "i")])

    def person(self, number: int) -> Person:
        """Each address is unique, because it contains the number."""
        first, last = self.first_name(), self.last_name()
        if number % _ONE_IS_RARE == 1:
            last = RARE_WORD
        address = f"{first}.{last}{number}@{self._domain(number)}"
        return Person(f"{first} {last}", address, self._role(number))

    def first_name(self) -> str:
        return self._first[self._rng.getrandbits(16)]

    def last_name(self) -> str:
        return self._last[self._rng.getrandbits(16)]

    def _domain(self, number: int) -> str:
        return _DOMAINS[3 if number % 1000 == 7 else number % 3]

    def _role(self, number: int) -> str:
        """Members, some managers, few owners; the newest tenth are contractors."""
        if number > self._size - self._size // 10:
            return "contractor"
        if number % 10_000 == 3:
            return "owner"
        return "manager" if number % 20 == 5 else "member"


def _pool(rng: random.Random, names: list[str]) -> list[str]:
    """A pool in which the frequency of each name follows its rank (Zipf's law)."""
    names = list(dict.fromkeys(names))
    rng.shuffle(names)
    weights = list(accumulate(1 / (rank + 10) for rank in range(len(names))))
    return rng.choices(names, cum_weights=weights, k=_POOL)
