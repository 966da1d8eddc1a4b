"""An index of texts by what they begin with."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain


def agree(one: str, other: str) -> bool:
    """Whether one begins with the other: `src` and `src/a.py` agree, and the empty text with all."""
    return one.startswith(other) or other.startswith(one)


class Near:
    """Places in a list of texts; how many they are is known before they are walked through."""

    def __init__(self, places: Sequence[int], spans: Sequence[range]) -> None:
        self._places = places
        self._spans = spans

    def __len__(self) -> int:
        return sum(map(len, self._spans))

    def __iter__(self) -> Iterator[int]:
        return (self._places[at] for at in chain.from_iterable(self._spans))


class Beginnings:
    """Texts, found by what agrees with them."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._places = sorted(range(len(texts)), key=texts.__getitem__)
        self._sorted = [texts[place] for place in self._places]
        self._first: dict[str, int] = {}  # where the equal ones begin among the sorted
        for at, text in enumerate(self._sorted):
            self._first.setdefault(text, at)

    def near(self, text: str) -> Near:
        """The places of all that agree with a text."""
        shorter = (text[:length] for length in range(len(text)))
        spans = [self._equal(known) for known in shorter if known in self._first]
        return Near(self._places, [*spans, self._from(text)])

    def _equal(self, text: str) -> range:
        first = self._first[text]
        return range(first, bisect_right(self._sorted, text, lo=first))

    def _from(self, text: str) -> range:
        first = bisect_left(self._sorted, text)
        # Compared by so much of them as it has, those that begin with it are equal to it.
        return range(first, bisect_right(self._sorted, text, lo=first, key=lambda known: known[: len(text)]))
