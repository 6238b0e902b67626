"""The numbers that are assigned to the account, what each carries, and since when reads show it."""

import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.sandbox.ledger import Record
from worker.sandbox.messagemedia.numbers import Number
from worker.sandbox.messagemedia.questions import Labels, Listing, bad_token


@dataclass(frozen=True, slots=True)
class Assignment:
    id: str
    number: Number
    labels: Labels

    def row(self) -> Record:
        """As it is shown, its fields in the guide's order: what it does not carry is left out."""
        labels = {"metadata": self.labels.metadata, "label": self.labels.label}
        said = {name: value for name, value in labels.items() if value is not None}
        return {**said, "id": self.id, "number_id": self.number.id}


class History:
    """What became of one number, each step with the time from which on reads show it; None: it was released."""

    def __init__(self) -> None:
        self._steps: list[tuple[float, Assignment | None]] = []

    @property
    def latest(self) -> Assignment | None:
        return self._steps[-1][1] if self._steps else None

    def add(self, shown_at: float, assignment: Assignment | None) -> None:
        self._steps.append((shown_at, assignment))

    def shown(self, now: float) -> Assignment | None:
        return next((assignment for shown_at, assignment in reversed(self._steps) if shown_at <= now), None)


class Assignments:
    """All of them, by number and in the order in which they were made."""

    def __init__(self) -> None:
        self._histories: dict[int, History] = {}
        self._order: list[int] = []  # numbers; one that was assigned again stands in it again
        self._places: dict[int, int] = {}  # where in the order a number stands last
        self._labelled: defaultdict[str, set[int]] = defaultdict(set)  # numbers that carry this label, or did

    def __contains__(self, number: int) -> bool:
        """Whether it is or ever was assigned."""
        return number in self._histories

    def keep(self, assignment: Assignment, shown_at: float) -> None:
        """Makes or changes an assignment."""
        number = int(assignment.number.digits)
        history = self._histories.setdefault(number, History())
        if history.latest is None:
            self._places[number] = len(self._order)
            self._order.append(number)
        history.add(shown_at, assignment)
        if assignment.labels.label:
            self._labelled[assignment.labels.label].add(number)

    def drop(self, number: int, shown_at: float) -> None:
        self._histories[number].add(shown_at, None)

    def held(self, number: int) -> Assignment | None:
        """As it really is."""
        history = self._histories.get(number)
        return history.latest if history else None

    def shown(self, number: int) -> Assignment | None:
        """As reads show it at this moment."""
        history = self._histories.get(number)
        return history.shown(time.time()) if history else None

    def page(self, listing: Listing) -> tuple[list[Assignment], Assignment | None]:
        """What reads show at this moment, and the one that the next page starts with. Raises BadRequest."""
        found: list[Assignment] = []
        for number in self._candidates(listing):
            shown = self.shown(number)
            if shown is None or not _fits(shown, listing):
                continue
            if len(found) == listing.page_size:
                return found, shown
            found.append(shown)
        return found, None

    def _candidates(self, listing: Listing) -> Iterator[int]:
        """The numbers to look at, in the listing's order; all of them where no filter names a few."""
        places: Sequence[int] = range(len(self._order))
        if listing.number is not None or listing.label:
            few = {listing.number} if listing.number is not None else self._labelled.get(listing.label, set())
            places = sorted(self._places[number] for number in few if number in self._places)
        for place in _along(places, self._place_of(listing.start), newest_first=listing.newest_first):
            number = self._order[place]
            if self._places[number] == place:
                yield number

    def _place_of(self, start: int | None) -> int | None:
        if start is None:
            return None
        if start not in self._places:
            raise bad_token()
        return self._places[start]


def _along(places: Sequence[int], start: int | None, *, newest_first: bool) -> Sequence[int]:
    if newest_first:
        end = len(places) if start is None else bisect_right(places, start)
        return places[:end][::-1]
    return places if start is None else places[bisect_left(places, start) :]


def _fits(assignment: Assignment, listing: Listing) -> bool:
    number, wish = assignment.number, listing.wish
    return (
        wish.allows(number.country, number.type, number.capabilities)
        and wish.matching in number.digits
        and (listing.number is None or listing.number == int(number.digits))
        and (not listing.label or listing.label == assignment.labels.label)
        and (not listing.classes or number.classification in listing.classes)
    )
