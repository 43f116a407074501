"""The fewest faults that still break an invariant: delta debugging over a plan."""

from collections.abc import Callable, Mapping


def shrink(faults: Mapping[str, str], breaks: Callable[[Mapping[str, str]], bool]) -> dict[str, str]:
    """Leave out faults, ever smaller parts at a time, as long as it still breaks.

    Args:
        faults: Place -> fault, of a run that broke.
        breaks: Whether a run with some of them breaks too.

    Source: ddmin (Zeller and Hildebrandt 2002), complements only.
    """
    left, parts = list(faults.items()), 2
    while len(left) > 1:
        size = -(-len(left) // parts)
        complements = [left[:start] + left[start + size :] for start in range(0, len(left), size)]
        smaller = next((one for one in complements if breaks(dict(one))), None)
        if smaller is not None:
            left, parts = smaller, max(parts - 1, 2)
        elif size == 1:
            break
        else:
            parts = min(2 * parts, len(left))
    return dict(left) if left and not breaks({}) else {}
