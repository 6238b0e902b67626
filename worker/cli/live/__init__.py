"""`trunkline watch` on a terminal: a screen that lives, from each figure to the requests behind it, and to acting."""
