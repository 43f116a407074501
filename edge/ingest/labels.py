"""A file of labels becomes outcomes on the device: read, checked, and posted to the scoring module beside this one."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from itertools import batched
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from pyarrow import parquet as pq

from edge.ingest.clean import ENDINGS, Unclean, flags

MARK = ".labels"  # before the ending: `2013-02-18.labels.csv`
ID, LABEL = "id", "label"
AT_ONCE = 10_000  # outcomes in a request
LONGEST_ID = 64  # characters
PATIENCE_SECONDS = 30.0
KINDS = ("joined", "duplicate", "conflicting", "unknown")


class Silent(Exception):
    """The scoring module did not take outcomes now; it may later."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What came of rows; those whose label is not known yet are left out."""

    ids: Sequence[str]
    labels: Sequence[bool]


def are_labels(name: str) -> bool:
    """Whether a file's name says that it holds labels."""
    path = PurePosixPath(name)
    return path.suffix in ENDINGS and PurePosixPath(path.stem).suffix == MARK


def read_labels(name: str, content: bytes) -> Labels:
    """Read the columns `id` and `label` of a CSV or Parquet file; others are nobody's concern.

    Raises:
        Unclean: It is not readable, or its columns are no ids and labels; the reason names column, expected and found.
    """
    try:
        table = _read(name, content)
        ids, labels = pc.cast(table[ID], pa.string()), flags(LABEL, table[LABEL])
    except (pa.ArrowException, OSError, UnicodeDecodeError) as problem:
        raise Unclean(f"it is not readable: {str(problem).partition('\n')[0]}") from problem
    lengths = pc.min_max(pc.utf8_length(ids)).as_py()
    if ids.null_count or not table.num_rows or lengths["min"] < 1 or lengths["max"] > LONGEST_ID:
        raise Unclean(f"{ID} is missing in some row, or not of 1 to {LONGEST_ID} characters")
    known = pc.is_valid(labels)
    return Labels(ids.filter(known).to_pylist(), labels.filter(known).to_pylist())


def _read(name: str, content: bytes) -> pa.Table:
    if name.endswith(".parquet"):
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            names = file.schema_arrow.names
            table = file.read(columns=[ID, LABEL])
    else:
        table = csv.read_csv(io.BytesIO(content), convert_options=csv.ConvertOptions(column_types={ID: pa.string()}))
        names = table.column_names
    for column in (ID, LABEL):
        if (times := names.count(column)) != 1:
            raise Unclean(f"it has {times or 'no'} column{'s' * (times > 1)} {column}; it has {', '.join(names[:20])}")
    return table


def tell(url: str, labels: Labels) -> Mapping[str, int]:
    """Post labels to the scoring module; what it knows already it counts once, so this may be repeated.

    Args:
        url: Of its `/outcomes`.
        labels: What came of rows.

    Returns:
        How many became what, by the module's own word.

    Raises:
        Silent: It does not answer, or not now.
        Unclean: It takes none of this.
    """
    parts, counts = urlsplit(url), dict.fromkeys(KINDS, 0)
    module = HTTPConnection(str(parts.hostname), parts.port or 80, timeout=PATIENCE_SECONDS)
    try:
        for some in batched(zip(labels.ids, labels.labels, strict=True), AT_ONCE, strict=False):
            body = json.dumps({"ids": [id_ for id_, _ in some], "labels": [label for _, label in some]})
            module.request("POST", parts.path, body.encode(), {"content-type": "application/json"})
            answer = module.getresponse()
            said = json.loads(answer.read())
            if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise Silent(f"it answered {answer.status}")
            if answer.status != HTTPStatus.OK:
                raise Unclean(f"the scoring module takes none of it: {said['error']['message']}")
            counts = {kind: counts[kind] + int(said[kind]) for kind in KINDS}
    except (OSError, HTTPException, ValueError, KeyError) as problem:
        raise Silent(f"it does not answer: {problem!r}") from problem
    finally:
        module.close()
    return counts
