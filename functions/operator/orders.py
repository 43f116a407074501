"""What an operator ordered, one row for each loop. The app reads it, so no command lives here."""

from functions.ports import Row, Rows

PINS, PIN = "pins", "pin"


def order(rows: Rows, loop: str, row: Row) -> None:
    """Write an order down; the rollout's next turn obeys it."""
    while not rows.insert(PINS, loop, PIN, row=row):
        stored = rows.get(PINS, loop, PIN)
        if stored and rows.replace(PINS, loop, stored=stored, row=row):
            return


def pinned(rows: Rows, loop: str) -> str:
    """The pin that holds now, for a person; "" for none."""
    stored = rows.get(PINS, loop, PIN)
    if stored is None or not stored.row["version"]:
        return ""
    row = stored.row
    return f"{row['ring'] or 'every ring'!s} to version {row['version']!s}: {row['because']!s}"
