"""Where traces, metrics and logs go: to a collector, or to Application Insights by identity, or nowhere at no cost."""

import gzip
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from laptop.stack import Stack
from laptop.tls import write_certificates
from tests.fakes.cloud import ENVIRONMENT, OWN_LOOPS

pytestmark = pytest.mark.enable_socket

UPSTREAM = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
METRICS = sorted(re.findall(r'create_\w+\(\s*"([a-z.]+)"', Path("functions/tracing.py").read_text(encoding="utf-8")))
SCRIPT = f"""
import sys
from datetime import datetime, UTC
from functions import tracing, wiring
from functions.journal import Entry, record
from tests.fakes.cloud import FakeRows
wiring.azure()
wiring.tell()
with tracing.following("{UPSTREAM}", "launch"):
    record(FakeRows(), Entry(datetime.now(UTC), "flight-delays", "retraining", "flight-delays#1", "Launch", "28 files"))
for _ in range(20):
    with tracing.following("{UPSTREAM}", "look"):
        pass
tracing.measured("flight-delays", backlog_age=1.0, backlog_files=2, jobs_open=1, budget_held=True)
tracing.evidence("flight-delays", -0.5)
tracing.taken("count_upload_on_blob_created", "quarantined")
tracing.set_aside("count_upload_on_blob_created", "BLOB_SITE")
print(sorted(name for name in sys.modules if name.startswith("opentelemetry.sdk") or "exporter" in name))
"""
CREDENTIAL = """
import functions.cloud.identity
from azure.core.credentials import AccessToken
class Ours:
    def get_token(self, *scopes, **_):
        assert scopes == ("https://monitor.azure.com//.default",), scopes
        return AccessToken("ours", 2**32)
functions.cloud.identity.credential = lambda client_id: Ours()
"""


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted."""

    def __init__(self, address: str) -> None:
        super().__init__((address, 0), _Take)
        self.taken: list[tuple[str, str, bytes]] = []


class _Take(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:  # as the library calls it
        body = self.rfile.read(int(self.headers["content-length"]))
        plain = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        self.server.taken.append((self.path, self.headers.get("authorization", ""), plain))
        number = plain.count(b'"time"')
        said = json.dumps({"itemsReceived": number, "itemsAccepted": number, "errors": []}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # as the library calls it
        """Say nothing."""


@contextmanager
def receiving(address: str, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    with Receiver(address) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def run(script: str, **settings: str) -> str:
    environment = {**ENVIRONMENT, **OWN_LOOPS, "PYTHONPATH": ".", "PYTHONWARNINGS": "ignore", **settings}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_without_a_setting_no_exporter_is_even_imported() -> None:
    assert run(SCRIPT).strip() == "[]"


def test_a_collector_is_told_of_the_trace_the_count_and_the_decision(address: str) -> None:
    with receiving(address) as server:
        run(SCRIPT, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{address}:{server.server_port}")
        told: Mapping[str, bytes] = {path: body for path, _, body in server.taken}
    assert set(told) == {"/v1/traces", "/v1/metrics", "/v1/logs"}
    trace = bytes.fromhex(UPSTREAM.split("-")[1])
    assert b"launch" in told["/v1/traces"]
    assert trace in told["/v1/traces"]
    assert [name for name in METRICS if name.encode() not in told["/v1/metrics"]] == []
    assert b"Launch of flight-delays#1: 28 files" in told["/v1/logs"]
    assert trace in told["/v1/logs"]
    assert all(b"service.name" in body and b"refluent" in body for body in told.values())


def test_application_insights_is_told_the_same_by_identity(address: str, tmp_path: Path) -> None:
    stack = Stack(address, tmp_path)
    write_certificates(stack)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(stack.certificate, stack.private_key)
    with receiving(address, tls) as server:
        place = f"https://{address}:{server.server_port}/"
        connection = f"InstrumentationKey=00000000-0000-0000-0000-000000000001;IngestionEndpoint={place}"
        ours = {"APPLICATIONINSIGHTS_CONNECTION_STRING": connection, "REQUESTS_CA_BUNDLE": str(stack.authority)}
        run(CREDENTIAL + SCRIPT, **ours)
        taken = list(server.taken)
    assert {authorization for _, authorization, _ in taken} == {"Bearer ours"}
    items = [item for _, _, body in taken for item in json.loads(body)]
    found = {item["data"]["baseType"]: item for item in items}
    spans = [item["data"]["baseData"]["name"] for item in items if item["data"]["baseType"] == "RemoteDependencyData"]
    assert sorted(spans) == ["launch", *["look"] * 20], "a trace is kept as a whole"
    assert found["MessageData"]["data"]["baseData"]["properties"]["refluent.decision"] == "Launch"
    numbers = [point["name"] for item in items for point in item["data"]["baseData"].get("metrics", ())]
    assert set(METRICS) <= set(numbers)
    assert not any("Process" in name for name in numbers)
    trace = UPSTREAM.split("-")[1]
    assert {found[kind]["tags"]["ai.operation.id"] for kind in ("RemoteDependencyData", "MessageData")} == {trace}


def test_a_connection_string_that_is_none_ends_the_start_with_what_is_wrong() -> None:
    with pytest.raises(AssertionError, match="APPLICATIONINSIGHTS_CONNECTION_STRING is not usable"):
        run(CREDENTIAL + SCRIPT, APPLICATIONINSIGHTS_CONNECTION_STRING="nonsense")
