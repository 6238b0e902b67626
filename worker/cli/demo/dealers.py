"""The demo's customers: a CSV of dealers, a few bad ones among them, and the bad luck that meets the good ones."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

CITIES = ("sydney", "melbourne", "brisbane", "perth", "adelaide", "hobart")

NOWHERE = "atlantis"
"""A region in which AVANSER has no number to give."""

BARRED = "barred"
"""The group of dealers whom the upstream refuses."""

COLUMNS = (
    "upstream",
    "custom_id",
    "custom_group",
    "on_out_of_stock",
    "spec.name",
    "spec.service_number.country",
    "spec.service_number.search_type",
    "spec.service_number.szu",
    "spec.service.type",
    "spec.service.answer_point",
    "spec.service.record_call",
)

SCRIPT: dict[str, Any] = {
    "latency_ms": {"min": 150, "max": 450},
    "callback": {"delay": 2.0, "jitter": 1.0},
    "faults": [
        {"fault": "refused", "match": {"custom_group": BARRED}, "message": "Customer is barred"},
        {"fault": "rate_limited", "times": 5, "retry_after": 1},
        {"fault": "timeout_after_effect", "share": 0.01, "seconds": 10, "times_per_order": 1},
        {"fault": "reset_after_effect", "share": 0.01, "times_per_order": 1},
        {"fault": "error_before_effect", "share": 0.01, "times_per_order": 1},
        {"fault": "callback_early", "share": 0.02},
        {"fault": "callback_twice", "share": 0.05},
        {"fault": "callback_by_get", "share": 0.05},
        {"fault": "callback_never", "share": 0.01},
    ],
}
"""What the simulated AVANSER does: slow, now and then silent, and sure to lose a callback or two."""

STORY = (
    "1 in 100 orders times out after it went through, 1 in 100 loses its connection, 1 in 100 meets an error,"
    " 1 callback in 100 never comes, 5 come twice, 2 come before their acknowledgement"
)


def bad_customers(count: int) -> tuple[int, int]:
    """How many of `count` dealers ask for a number where there is none, and how many are barred."""
    return max(1, count // 100), max(1, count // 250)


def write_csv(path: Path, count: int) -> None:
    """Write a file of `count` dealers, the bad ones spread among them."""
    without_stock, barred = bad_customers(count)
    step = max(1, count // (without_stock + barred))
    bad = [*["stock"] * without_stock, *["barred"] * barred]
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for number in range(1, count + 1):
            place, exact = divmod(number, step)
            rows.writerow(_dealer(number, bad[place - 1] if not exact and 0 < place <= len(bad) else ""))


def _dealer(number: int, fault: str) -> list[str]:
    city = NOWHERE if fault == "stock" else CITIES[number % len(CITIES)]
    return [
        "avanser",
        f"dealer-{number}",
        BARRED if fault == "barred" else "dealers",
        "fail",
        f"Dealer {number}",
        "AU",
        "szu",
        city,
        "transfer",
        f"614016{number % 100_000:05}",
        "true",
    ]
