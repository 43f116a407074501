"""Azure Table Storage (azure-data-tables): rows."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import batched
from urllib.parse import quote, unquote

from azure.core import MatchConditions
from azure.core.credentials import TokenCredential
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import (
    EdmType,
    EntityProperty,
    TableClient,
    TableEntity,
    TableServiceClient,
    TableTransactionError,
    UpdateMode,
)

from functions.cloud.parts import cut, goes_on, joined
from functions.cloud.refusals import Service
from functions.errors import Refused
from functions.ports import ROW_LIMIT, Row, Stored, Value, Write, weight

STORE = Service(
    name="Table Storage",
    role="Storage Table Data Contributor on the data account",
    patience="wait for the redelivery; check DATA_TABLE_ENDPOINT if it persists",
    final=(400, 413),
    refusing="cannot hold it",
    remedy="report it with the row's key",
)
TRANSACTION_LIMIT = 100  # entities; the service's own
CHANGED = (404, 409, 412)  # somebody deleted, inserted or replaced a row meanwhile
SMALL = range(-(2**31), 2**31)  # Edm.Int32; the SDK takes other integers only with their type
UNSAFE = re.compile(r"[^A-Za-z0-9._~ :,@!$'()*+;=-]")  # keys refuse / \ # ? and control characters


class TableRows:
    """Rows kept in Table Storage; tables are made on first use.

    Args:
        endpoint: Table service URL of the data account.
        credential: Identity with Storage Table Data Contributor.
    """

    def __init__(self, endpoint: str, credential: TokenCredential) -> None:
        self._service = TableServiceClient(
            endpoint=endpoint, credential=credential, retry_total=4, retry_backoff_factor=0.3, retry_backoff_max=3
        )
        self._tables: dict[str, TableClient] = {}

    def insert(self, table: str, partition: str, key: str, *, row: Row) -> bool:
        """Add a row; False if one with that key exists already."""
        with STORE.asked(f"row {key} of {table}"):
            try:
                self._table(table).create_entity(_entity(partition, key, row))
            except ResourceExistsError:
                return False
        return True

    def get(self, table: str, partition: str, key: str) -> Stored | None:
        """One row, or None."""
        with STORE.asked(f"row {key} of {table}"):
            try:
                return _stored(self._table(table).get_entity(_safe(partition), _safe(key)))
            except ResourceNotFoundError:
                return None

    def replace(self, table: str, partition: str, *, stored: Stored, row: Row) -> bool:
        """Compare and swap; a refusal whose row is ours already was a lost response, and counts as done."""
        with STORE.asked(f"row {stored.key} of {table}"):
            try:
                self._table(table).update_entity(
                    _entity(partition, stored.key, row),
                    mode=UpdateMode.REPLACE,
                    etag=stored.etag,
                    match_condition=MatchConditions.IfNotModified,
                )
            except (ResourceModifiedError, ResourceNotFoundError):
                now = self.get(table, partition, stored.key)
                return now is not None and now.row == dict(row)
        return True

    def write_all(self, table: str, partition: str, writes: Sequence[Write]) -> bool:
        """Insert or compare and swap many rows in one transaction: all, or none."""
        with STORE.asked(f"{len(writes)} rows of {table}"):
            try:
                self._table(table).submit_transaction([_written(partition, one) for one in writes])
            except TableTransactionError as refused:
                if refused.status_code not in CHANGED:
                    raise
                return False
        return True

    def change(self, table: str, partition: str, *, keys: Iterable[str], values: Row) -> None:
        """Merge the same values into many rows, a hundred a transaction."""
        self.change_each(table, partition, values=dict.fromkeys(keys, values))

    def change_each(self, table: str, partition: str, *, values: Mapping[str, Row]) -> None:
        """Merge values into the rows of these keys, a hundred a transaction."""
        for group in batched(values, TRANSACTION_LIMIT, strict=False):
            with STORE.asked(f"{len(group)} rows of {table}"):
                self._table(table).submit_transaction(
                    [("update", _entity(partition, key, values[key]), {"mode": UpdateMode.MERGE}) for key in group]
                )

    def find(self, table: str, partition: str, **equal: Value) -> Iterator[Stored]:
        """Rows of a partition with these values; sorted here, for the store sorts keys as they are escaped."""
        query, texts = _query(partition, equal)
        with STORE.asked(f"rows of {table}"):
            found = [_stored(entity) for entity in self._table(table).query_entities(query, parameters=dict(texts))]
        yield from sorted(found, key=lambda stored: stored.key)

    def columns(self, table: str, partition: str, *names: str) -> Iterator[Stored]:
        """Every row of a partition, of which only these properties are sent."""
        query, texts = _query(partition, {})
        chosen = ["PartitionKey", "RowKey", *names]
        with STORE.asked(f"rows of {table}"):
            entities = self._table(table).query_entities(query, parameters=dict(texts), select=chosen)
            found = [self._chosen(table, partition, entity, names) for entity in entities]
        yield from sorted(filter(None, found), key=lambda stored: stored.key)

    def _chosen(self, table: str, partition: str, entity: TableEntity, names: Sequence[str]) -> Stored | None:
        """Some values of a row, which is read whole if the end of one has not been sent; None if it is gone by now."""
        if not any(map(goes_on, entity.values())):
            return _stored(entity)
        stored = self.get(table, partition, _plain(entity["RowKey"]))
        return stored and replace(stored, row={name: stored.row[name] for name in names if name in stored.row})

    def _table(self, name: str) -> TableClient:
        if name not in self._tables:
            with STORE.asked(f"table {name}"):
                self._tables[name] = self._service.create_table_if_not_exists(name)
        return self._tables[name]


def _safe(key: str) -> str:
    return UNSAFE.sub(lambda match: quote(match[0], safe="").replace("%", "_x"), key.replace("_", "_x5F"))


def _plain(key: str) -> str:
    return unquote(re.sub(r"_x([0-9A-F]{2})", r"%\1", key))


def _query(partition: str, equal: Row) -> tuple[str, Row]:
    """A filter and its parameters: text travels as a parameter, and numbers as literals.

    The SDK would write the numbers 0 and 1 as false and true, which no number in Azure equals.
    """
    wanted: dict[str, Value] = {"PartitionKey": _safe(partition), **equal}
    texts = {name: value for name, value in wanted.items() if not isinstance(value, bool | int | float)}
    terms = [f"{name} eq {f'@{name}' if name in texts else _literal(value)}" for name, value in wanted.items()]
    return " and ".join(terms), texts


def _literal(number: Value) -> str:
    if isinstance(number, bool):
        return str(number).lower()
    return f"{number}L" if isinstance(number, int) and number not in SMALL else str(number)


def _entity(partition: str, key: str, row: Row) -> TableEntity:
    """A row as the service takes it; Refused for one that it would not: it says so itself, but not to every request."""
    size = weight(row)
    if size > ROW_LIMIT:
        why = f"its values take {size} bytes, and a row holds at most {ROW_LIMIT}"
        raise Refused(f"row {key}: {STORE.name} {STORE.refusing}", why=why, fix=STORE.remedy)
    values = {
        name: EntityProperty(value, EdmType.INT64) if isinstance(value, int) and value not in SMALL else value
        for name, value in cut(row).items()
    }
    return TableEntity({"PartitionKey": _safe(partition), "RowKey": _safe(key), **values})


def _written(partition: str, one: Write) -> tuple[str, TableEntity, dict[str, object]]:
    """A row as an operation of a transaction."""
    entity = _entity(partition, one.key, one.row)
    if one.stored is None:
        return "create", entity, {}
    unchanged = {"etag": one.stored.etag, "match_condition": MatchConditions.IfNotModified}
    return "update", entity, {"mode": UpdateMode.REPLACE, **unchanged}


def _stored(entity: TableEntity) -> Stored:
    own = ("PartitionKey", "RowKey")
    row = {name: _value(value) for name, value in entity.items() if name not in own and value is not None}
    return Stored(key=_plain(entity["RowKey"]), row=joined(row), etag=str(entity.metadata["etag"]))


def _value(value: Value | EntityProperty) -> Value:
    if isinstance(value, EntityProperty):
        return int(value.value)
    if isinstance(value, datetime):  # the SDK's own subclass of datetime compares unequal to a plain one
        return datetime.fromisoformat(value.isoformat())
    return value
