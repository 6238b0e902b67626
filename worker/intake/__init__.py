"""Taking requests in, one or a million: what is asked is checked whole before any of it is taken.

- `taking`: the one way in for the API and the command line; `batch`: the taking of a file
- `body`: a request as its requester writes it; `cells`: the same from the text cells of a table
- `examine`: what is wrong with a body by itself; `judge`: what is wrong with it given what the database knows
- `spool`: the good rows of a file, on disk until all are known; `bad_rows`: the others, by line and field
"""

from worker.intake.bad_rows import BadRows
from worker.intake.batch import BatchTaken, Progress
from worker.intake.body import RequestBody
from worker.intake.taking import LONGEST_KEY, Conflict, Intake, Invalid

__all__ = ["LONGEST_KEY", "BadRows", "BatchTaken", "Conflict", "Intake", "Invalid", "Progress", "RequestBody"]
