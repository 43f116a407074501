"""Microsoft's Python worker library as an engine: load a function app, run its functions.

The entry point `azure_functions_runtime.native_invocation` takes and gives plain values instead of protobuf messages.
It is no promised part of the library, so pyproject.toml pins the version and a contract test names every entry used.
"""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime as runtime
from azure.functions.meta import Datum
from azure_functions_runtime.native_invocation import invocation_request_native
from azure_functions_runtime.version import VERSION as LIBRARY_VERSION

from laptop.host.settings import CannotStart

_IMPORT_ADVICE = " Cannot find module. Please check the requirements.txt"  # the library appends all of sys.path to it


class _Status(SimpleNamespace):
    """What the library calls StatusResult."""

    Failure, Success, Cancelled = 0, 1, 2


class _Direction(SimpleNamespace):
    """What the library calls BindingInfo."""

    out, inout, undefined = 1, 2, 0


_running: dict[str, str] = {}  # function names by invocation id
VERSION = str(LIBRARY_VERSION)
MESSAGES = SimpleNamespace(  # stands in for the generated protobuf module: only what the library touches
    StatusResult=_Status,
    BindingInfo=_Direction,
    RpcException=SimpleNamespace,
    RpcFunctionMetadata=SimpleNamespace,
    RpcRetryOptions=SimpleNamespace,
    WorkerMetadata=SimpleNamespace,
    WorkerInitResponse=SimpleNamespace,
    FunctionMetadataResponse=SimpleNamespace,
)


@dataclass(frozen=True, slots=True)
class Binding:
    """One trigger or output of a function, as its decorator declared it.

    Args:
        kind: Its type in function.json, such as `eventGridTrigger`.
        name: The function's argument, or `$return`.
        options: Everything else, in function.json's spelling.
    """

    kind: str
    name: str
    options: Mapping[str, Any]

    def text(self, option: str, default: str = "") -> str:
        """An option as text, or the default when it was left out."""
        value = self.options.get(option)
        return default if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Retry:
    """A function's own retry policy.

    Args:
        limit: Retries after the first attempt; -1 means for ever.
        first: Delay before the first retry.
        longest: Largest delay; the delay doubles until then. Equal to `first` for a fixed delay.
    """

    limit: int
    first: timedelta
    longest: timedelta

    def delay_seconds(self, retry: int) -> float:
        """Seconds to wait before the given retry, which counts from 1."""
        doubled: float = self.first.total_seconds() * 2 ** min(retry - 1, 30)
        return min(doubled, self.longest.total_seconds())


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the app.

    Args:
        name: Its name in the portal.
        id: The worker's key for it.
        script: File name of the app's entry script.
        trigger: What starts it.
        outputs: Its output bindings by argument name.
        retry: Its retry policy, if it declares one.
    """

    name: str
    id: str
    script: str
    trigger: Binding
    outputs: Mapping[str, Binding] = field(default_factory=dict)
    retry: Retry | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """What one invocation hands to the worker.

    Args:
        id: The invocation's id.
        data: The trigger's payload.
        metadata: The trigger's metadata.
        trace: W3C trace parent.
        retry: 0 for the first attempt.
        retry_limit: The policy's limit; 0 without a policy.
    """

    id: str
    data: Datum
    metadata: Mapping[str, Datum]
    trace: str = ""
    retry: int = 0
    retry_limit: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one invocation ended.

    Args:
        succeeded: Whether the function returned.
        returned: What it returned, encoded for its `$return` binding.
        outputs: What it set, as (argument, value) pairs.
        error: The exception in one line; empty on success.
        traceback: The exception with its stack; empty on success.
    """

    succeeded: bool
    returned: Datum | None = None
    outputs: Sequence[tuple[str, Datum]] = ()
    error: str = ""
    traceback: str = ""


def text(value: str) -> Datum:
    """Trigger data of kind string."""
    return Datum(value, "string")


def blob(value: bytes) -> Datum:
    """Trigger data of kind bytes."""
    return Datum(value, "bytes")


def document(value: object) -> Datum:
    """Trigger data of kind JSON."""
    return Datum(json.dumps(value), "json")


def raw_document(value: bytes) -> Datum:
    """Trigger data of kind JSON that is JSON already."""
    return Datum(value.decode(), "json")


def many(values: Sequence[bytes]) -> Datum:
    """A batch of binary payloads."""
    return Datum(SimpleNamespace(bytes=list(values)), "collection_bytes")


def many_texts(values: Sequence[str]) -> Datum:
    """A batch of text payloads."""
    return Datum(SimpleNamespace(string=list(values)), "collection_string")


async def load(app: Path) -> list[Function]:
    """Import the app in `app`/function_app.py and list its functions.

    Raises:
        CannotStart: The app did not load, or it has no functions.
    """
    sys.path.insert(0, str(app))
    runtime.start_threadpool_executor()
    request = SimpleNamespace(worker_init_request=SimpleNamespace(capabilities={}, function_app_directory=str(app)))
    properties = {"host": "127.0.0.1", "protos": MESSAGES}
    try:
        answer = await runtime.worker_init_request(SimpleNamespace(request=request, properties=properties))
    except SystemExit as stopped:
        raise _did_not_load(app, f"SystemExit: {stopped.code}", "function_app.py ended the process") from stopped
    if answer.result.status != _Status.Success:
        problem = answer.result.exception
        raise _did_not_load(app, problem.message.split(_IMPORT_ADVICE)[0], problem.stack_trace)
    indexed = (await runtime.functions_metadata_request(SimpleNamespace())).function_metadata_results
    if not indexed:
        raise _did_not_load(app, "no function_app.py with functions in it", "")
    return [_function(metadata) for metadata in indexed]


async def call(function: Function, order: Call) -> Outcome:
    """Run one function once; its exceptions end up in the outcome."""
    _running[order.id] = function.name
    try:
        return Outcome(
            *await invocation_request_native(
                order.id,
                function.id,
                [(function.trigger.name, order.data)],
                order.metadata,
                trace_parent=order.trace,
                retry_count=order.retry,
                max_retry_count=order.retry_limit,
            )
        )
    finally:
        del _running[order.id]


def current() -> str | None:
    """Name of the function whose code is calling, or None; known in the library's threads too."""
    return _running.get(runtime.invocation_id_cv.get())


async def stop(grace_seconds: float) -> bool:
    """Stop the thread pool of synchronous functions; false if one of them is still running after the grace."""
    closing = asyncio.get_running_loop().run_in_executor(None, runtime.stop_threadpool_executor)
    done, _ = await asyncio.wait([closing], timeout=grace_seconds)
    return bool(done)


def _did_not_load(app: Path, message: str, stack: str) -> CannotStart:
    return CannotStart(
        f"the function app in {app} did not load",
        why=message,
        fix="correct what the reason names; `python -c 'import function_app'` in that folder shows the same",
        details=stack,
    )


def _function(metadata: SimpleNamespace) -> Function:
    bindings = [json.loads(raw) for raw in metadata.raw_bindings]
    triggers = [_binding(raw) for raw in bindings if raw["direction"].upper() == "IN"]
    trigger = next((one for one in triggers if one.kind.endswith("Trigger")), None)
    if trigger is None or len(triggers) > 1:
        inputs = [one.kind for one in triggers if one is not trigger]
        raise CannotStart(
            f"function {metadata.name} cannot run here",
            why=f"this host has no input bindings, and it declares {inputs}" if inputs else "it has no trigger",
            fix="read the input with its SDK inside the function",
        )
    outputs = [_binding(raw) for raw in bindings if raw["direction"].upper() == "OUT"]
    return Function(
        metadata.name,
        metadata.function_id,
        metadata.script_file,
        trigger,
        outputs={one.name: one for one in outputs},
        retry=_retry(metadata.retry_options),
    )


def _binding(raw: dict[str, Any]) -> Binding:
    return Binding(raw["type"], raw["name"], {key: raw[key] for key in raw if key not in {"type", "name"}})


def _retry(options: SimpleNamespace | None) -> Retry | None:
    if options is None:
        return None
    if hasattr(options, "delay_interval"):
        return Retry(options.max_retry_count, options.delay_interval, options.delay_interval)
    return Retry(options.max_retry_count, options.minimum_interval, options.maximum_interval)
