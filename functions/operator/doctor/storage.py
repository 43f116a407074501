"""The data account: containers, tables, rights, its clock, and what waits in it."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from functools import partial

from functions.cloud.asking import Answer
from functions.deadletters import letters
from functions.operator.doctor.finding import Finding, of_answer
from functions.operator.doctor.patient import STORAGE, Patient
from functions.operator.doctor.rights import READ, WRITTEN

READ_ROLE, WRITE_ROLE = "Storage Blob Data Reader", "Storage Blob Data Contributor"
TABLE_ROLE = "Storage Table Data Contributor"
NOT_FOUND, UNMET = 404, 412
NOTHING = "refluent-doctor"  # a name that nothing has
SKEWED, BROKEN = timedelta(seconds=30), timedelta(minutes=5)  # Entra ID takes no token that is five minutes off
MANY = 20


def blobs(patient: Patient) -> Iterator[Finding]:
    """Whether the containers are there, and whether we may read and write: each by itself, as rights are given."""
    endpoint, account = patient.settings.blob_endpoint.rstrip("/"), patient.settings.account_id
    headers, fix = {"x-ms-version": "2021-12-02"}, "check DATA_BLOB_ENDPOINT, and the account's firewall"
    wanted = sorted({*READ, *WRITTEN, *(loop.data.container for loop in patient.loops.values())})
    for name in wanted:
        address = f"{endpoint}/{name}?restype=container&comp=list&maxresults=1"
        answer = patient.asker.ask("GET", address, audience=STORAGE, headers=headers)
        if name == wanted[0]:
            yield from _skew(patient, answer)
        if answer.status == NOT_FOUND:
            make = (
                f"az storage container create --auth-mode login --account-name {account.rpartition('/')[2]} -n {name}"
            )
            yield Finding("blobs", "error", f"there is no container {name}", answer.said, make)
        else:
            right = patient.right(READ_ROLE, f"{account}/blobServices/default/containers/{name}")
            yield of_answer("blobs", answer, what=f"container {name} is read", right=right, fine=(), fix=fix)
        if not answer.status:
            return
    headers |= {"x-ms-blob-type": "BlockBlob", "If-Match": '"0x0"', "Content-Length": "0"}
    written = patient.asker.ask("PUT", f"{endpoint}/models/{NOTHING}", audience=STORAGE, headers=headers, body=b"")
    right = patient.right(WRITE_ROLE, f"{account}/blobServices/default/containers/models")
    what = "models may be written (tried with a condition that nothing meets)"
    yield of_answer("blobs", written, what=what, right=right, fine=(NOT_FOUND, UNMET), fix=fix)


def tables(patient: Patient) -> Iterator[Finding]:
    """Whether tables may be read and written; each is made on first use."""
    endpoint, account = patient.settings.table_endpoint.rstrip("/"), patient.settings.account_id
    right = patient.right(TABLE_ROLE, account)
    meant = partial(of_answer, "tables", right=right, fix="check DATA_TABLE_ENDPOINT, and the account's firewall")
    headers = {"x-ms-version": "2019-02-02", "Accept": "application/json;odata=nometadata"}
    listed = patient.asker.ask("GET", f"{endpoint}/Tables?$top=1", audience=STORAGE, headers=headers)
    yield meant(listed, what=f"tables of {endpoint} are listed", fine=())
    nobody = f"{endpoint}/requests(PartitionKey='{NOTHING}',RowKey='{NOTHING}')"
    gone = patient.asker.ask("DELETE", nobody, audience=STORAGE, headers={**headers, "If-Match": "*"})
    yield meant(gone, what="rows may be written (tried on one that is not there)", fine=(NOT_FOUND,))


def waiting(patient: Patient) -> Iterator[Finding]:
    """What lies in the account and waits for a person: dead letters, quarantine, a held budget."""
    dead = Counter(one.state for one in letters(patient.here.rows, patient.here.blobs))
    waits = dead.total() - dead["replayed"]
    told = f"{waits} dead letters wait, {dead['replayed']} were replayed"
    fix = "refluent replay --dry-run, then refluent replay; docs/runbook.md#dead-letters"
    why = "Event Grid gave up on them: a function failed too often, or for too long"
    yield Finding("waiting", "warning", told, why, fix) if waits else Finding("waiting", "ok", told)
    aside = Counter(
        facts.name.split("/")[1] for facts in patient.here.blobs.list("quarantine", "") if "/" in facts.name
    )
    number, codes = aside.total(), ", ".join(f"{count} {code}" for code, count in aside.most_common())
    if number > MANY:
        fix = "look at the newest of the commonest code; docs/runbook.md#quarantine-rate"
        yield Finding("waiting", "warning", f"{number} inputs are in quarantine", codes, fix)
    else:
        yield Finding("waiting", "ok", f"{number} inputs are in quarantine{f': {codes}' if codes else ''}")
    for name in patient.loops:
        note = patient.here.rows.get("generations", name, "decision")
        if note and note.row["decision"] == "HoldForBudget":
            fix = f"refluent train {name} --anyway --because …, raise the budget in loops/{name}.toml, or wait"
            yield Finding("waiting", "warning", f"the budget of {name} holds a job", str(note.row["reason"]), fix)


def _skew(patient: Patient, answer: Answer) -> Iterator[Finding]:
    """This computer's clock beside the service's."""
    if "date" not in answer.headers:
        return
    skew = abs(patient.here.now() - parsedate_to_datetime(answer.headers["date"]).replace(tzinfo=UTC))
    if skew < SKEWED:
        yield Finding("clock", "ok", "this clock and Blob Storage's agree within 30 s")
        return
    what, why = f"the clocks are {skew.total_seconds():.0f} s apart", f"Blob Storage says {answer.headers['date']}"
    level = "error" if skew > BROKEN else "warning"
    yield Finding("clock", level, what, why, "set this computer's clock by a time server")  # type: ignore[arg-type]  # both are levels
