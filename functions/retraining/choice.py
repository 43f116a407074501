"""Which admitted uploads a generation takes: the oldest, and of no site more than its share. No clock, no network."""

from collections import Counter
from collections.abc import Mapping, Sequence

from functions.loops import Retrain
from functions.retraining.ledger import Upload

ROUNDING = 1e-9  # a third of three is one file


def choose(uploads: Sequence[Upload], policy: Retrain) -> list[Upload]:
    """Take the oldest first; what is left out stays for the next generation.

    Returns:
        What the generation takes, ordered by name.
    """
    oldest = sorted(uploads, key=lambda upload: (upload.at, upload.blob, upload.etag))
    total, limit = _shares(Counter(upload.site for upload in oldest), policy)
    taken, given = list[Upload](), Counter[str]()
    for upload in oldest:
        if len(taken) < total and given[upload.site] < limit:
            given[upload.site] += 1
            taken.append(upload)
    return sorted(taken, key=lambda upload: (upload.blob, upload.at, upload.etag))


def _shares(files: Mapping[str, int], policy: Retrain) -> tuple[int, int]:
    """How many files a generation takes, and how many of one site at most.

    The largest total that the sites, each cut to its share of it, still make up; found from above.
    """
    total = min(sum(files.values()), policy.at_most_files)
    while True:
        limit = int(policy.at_most_share_of_one_site * total + ROUNDING)
        given = sum(min(number, limit) for number in files.values())
        if given >= total:
            return total, limit
        total = given
