"""The ledger of orders: what really happened at the upstreams, and so the judge of "bought twice".

An entry is written, to the file too where there is one, before its answer is sent: what a client may believe to be
done is in it, even when the sandbox is killed. (It is not synced to disk: it survives the process, not the machine.)
"""

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# A last path segment counts as a token when it could carry 96 bits or more; `debug.php` of the seed must not.
_TOKEN = re.compile(r"[A-Za-z0-9_.~-]{16,}")

Record = dict[str, Any]

PENDING = "pending"


@dataclass(slots=True)
class Entry:
    """One effect: a number bought, a service changed, a number released."""

    seq: int
    at: float  # seconds since the epoch, after the scripted latency
    upstream: str
    kind: str
    account: str = ""
    request_id: str = ""
    custom_id: str = ""
    custom_group: str = ""
    callback_uri: str = ""
    number: str = ""
    answer_point: str = ""
    name: str = ""
    arrived_at: float = 0.0  # when the call that ordered it began, seconds since the epoch; AVANSER's alone
    shown_at: float = 0.0  # when lists start to show it, seconds since the epoch
    status: str = PENDING
    message: str = ""
    completed_at: float | None = None
    callbacks_sent: int = 0
    callbacks_acknowledged: int = 0
    # What tells one order from another. The vendor says what that is where orders have no callback URI; else it is,
    # from when the entry is filed, the token in the callback URI, or the custom_id.
    key: str = ""


_FIELDS = tuple(field.name for field in fields(Entry))
_values_of = attrgetter(*_FIELDS)
_encode = json.JSONEncoder(separators=(",", ":")).encode  # kept: `dumps` would make an encoder anew for every record


@dataclass(frozen=True, slots=True)
class Portal:
    """Where a vendor reports to, as a customer enters it in the vendor's portal; empty: nowhere."""

    calls: str = ""
    messages: str = ""


class Ledger:
    """Entries in the order in which they took effect, indexed by what people ask for."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._file = -1
        self._clear()

    def open(self) -> Iterator[tuple[Entry, Record]]:
        """Opens the file and yields what it holds: each entry, and the details its vendor filed with it."""
        if self._path is None:
            return
        details = self._load(self._path)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        yield from zip(list(self.entries), details, strict=True)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def reset(self) -> None:
        self._clear()
        if self._file >= 0:
            os.ftruncate(self._file, 0)

    def file(self, entry: Entry, details: Record) -> None:
        """Enters an effect; `details` is what the vendor needs to carry on after a restart."""
        self._index(entry)
        if self._file >= 0:
            self._write({**_row(entry), "details": details})

    def settle(self, entry: Entry, status: str, message: str, at: float) -> None:
        entry.status, entry.message, entry.completed_at = status, message, at
        self._statuses[status] += 1
        if status == "failed" and entry.kind == "provision":  # its number is not held, so ordering again is right
            self._count_purchase(entry, -1)
        self._write({"settled": entry.seq, "status": status, "message": message, "at": at})

    def callback_sent(self, entry: Entry, *, acknowledged: bool) -> None:
        entry.callbacks_sent += 1
        entry.callbacks_acknowledged += acknowledged
        self._sent += 1
        self._acknowledged += acknowledged
        self._write({"callback": entry.seq, "acknowledged": acknowledged})

    def enter_portal(self, upstream: str, addresses: Portal) -> None:
        """Keeps where a vendor is to report to; it is beside the orders so that a restart knows it too."""
        self.portals[upstream] = addresses
        self._write({"portal": upstream, **asdict(addresses)})

    def next_seq(self) -> int:
        return len(self.entries) + 1

    def find(self, upstream: str, where: Mapping[str, str]) -> Iterator[Entry]:
        """Entries whose fields equal `where`, oldest first; quick by number or custom_id."""
        if where.get("number"):
            candidates = self._by_number[where["number"]]
        elif where.get("custom_id"):
            candidates = self._by_custom_id[where["custom_id"]]
        else:
            candidates = self.entries
        for entry in candidates:
            if entry.upstream == upstream and all(getattr(entry, name) == value for name, value in where.items()):
                yield entry

    def page(self, since: int, limit: int, where: Mapping[str, str]) -> Record:
        """Up to `limit` rows with a `seq` above `since`; `next` is the `since` of the next page, or null."""
        rows: list[Record] = []
        for entry in self.entries[since:]:
            if any(str(getattr(entry, name)) != value for name, value in where.items()):
                continue
            if len(rows) == limit:
                return {"data": rows, "next": rows[-1]["seq"]}
            rows.append(_row(entry))
        return {"data": rows, "next": None}

    def summary(self) -> Record:
        """The books: `by_key` names every order that bought more than once, `by_custom_id` every such customer.

        A provision that failed afterwards bought nothing; it counts in `orders` and `failed` alone.
        """
        by_key = {key: count for key, count in self._bought_by_key.items() if count > 1}
        by_custom_id = {key: count for key, count in self._bought_by_custom_id.items() if count > 1}
        return {
            "orders": self._kinds["provision"],
            "updates": self._kinds["update"],
            "releases": self._kinds["release"],
            "numbers_taken": self._numbers_taken,
            "keys": sum(1 for count in self._bought_by_key.values() if count),
            "bought_twice": len(by_key),
            "by_key": by_key,
            "by_custom_id": by_custom_id,
            "completed": self._statuses["completed"],
            "failed": self._statuses["failed"],
            "pending": len(self.entries) - self._statuses.total(),
            "callbacks": {"sent": self._sent, "acknowledged": self._acknowledged},
        }

    def _clear(self) -> None:
        self.entries: list[Entry] = []
        self.portals: defaultdict[str, Portal] = defaultdict(Portal)
        self._by_number: defaultdict[str, list[Entry]] = defaultdict(list)
        self._by_custom_id: defaultdict[str, list[Entry]] = defaultdict(list)
        self._bought_by_key: Counter[str] = Counter()
        self._bought_by_custom_id: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._numbers_taken = 0
        self._sent = self._acknowledged = 0

    def _index(self, entry: Entry) -> None:
        entry.key = entry.key or _key(entry)
        self.entries.append(entry)
        self._by_number[entry.number].append(entry)
        self._by_custom_id[entry.custom_id].append(entry)
        self._kinds[entry.kind] += 1
        if entry.status != PENDING:  # done at once, as vendors do that call nobody back
            self._statuses[entry.status] += 1
        if entry.kind == "provision":
            self._count_purchase(entry, 1)

    def _count_purchase(self, entry: Entry, by: int) -> None:
        self._numbers_taken += by  # no number is ever handed out twice
        self._bought_by_key[entry.key] += by
        if entry.custom_id:
            self._bought_by_custom_id[entry.custom_id] += by

    def _write(self, record: Record) -> None:
        if self._file >= 0:
            os.write(self._file, _encode(record).encode() + b"\n")

    def _load(self, path: Path) -> list[Record]:
        """Reads the file back; a last line cut short by a kill is dropped, for its answer was never sent."""
        whole = path.read_bytes() if path.exists() else b""
        kept = whole[: whole.rfind(b"\n") + 1]
        if kept != whole:
            os.truncate(path, len(kept))
        details = []
        for line in kept.splitlines():
            record = json.loads(line)
            if "settled" in record:
                entry = self.entries[record["settled"] - 1]
                self.settle(entry, record["status"], record["message"], record["at"])
            elif "callback" in record:
                self.callback_sent(self.entries[record["callback"] - 1], acknowledged=record["acknowledged"])
            elif "portal" in record:
                self.enter_portal(record.pop("portal"), Portal(**record))
            else:
                details.append(record.pop("details"))
                self._index(Entry(**record))
        return details


def is_field(name: str) -> bool:
    """Whether the ledger can be asked for rows by this field."""
    return name in _FIELDS


def _row(entry: Entry) -> Record:
    # `asdict` looks for what to copy at every depth: it took a third of the time of an order.
    return dict(zip(_FIELDS, _values_of(entry), strict=True))


def _key(entry: Entry) -> str:
    last = urlsplit(entry.callback_uri).path.rpartition("/")[2]
    if _TOKEN.fullmatch(last):
        return last
    return entry.custom_id or entry.callback_uri or entry.request_id
