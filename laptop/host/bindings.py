"""What the bindings of an app need, found before anything runs: settings, accounts, and kinds this host knows."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from laptop.host.client import Client
from laptop.host.settings import CannotStart, Settings
from laptop.host.storage import Service, Storage, account
from laptop.host.worker import Binding, Function

TRIGGERS = {"httpTrigger", "eventGridTrigger", "eventHubTrigger", "timerTrigger", "queueTrigger", "blobTrigger"}
OUTPUTS = {"http", "queue", "blob", "eventGrid"}

Check = Callable[[Function, Binding], None]


def bind(functions: Sequence[Function], settings: Settings, check_output: Check) -> list[Function]:
    """Replace every %NAME% in the bindings of the functions that run.

    Args:
        functions: The functions as declared, without the disabled ones.
        settings: The app settings.
        check_output: Finds what an output needs; raises CannotStart if it cannot.

    Raises:
        CannotStart: A binding is unknown here, or a setting is missing.
    """
    bound = [_bind(function, settings) for function in functions]
    for function in bound:
        for binding in function.outputs.values():
            if binding.kind != "http":
                check_output(function, binding)
    return bound


def storage(function: Function, service: Service, settings: Settings, client: Client) -> Storage:
    """The storage service a function's trigger names; raises CannotStart if no setting does."""
    connection = function.trigger.text("connection", "AzureWebJobsStorage")
    where = f"function {function.name}, trigger {function.trigger.name}"
    return Storage(account(settings, connection, service, where=where), client)


def _bind(function: Function, settings: Settings) -> Function:
    unknown = {function.trigger.kind} - TRIGGERS | {one.kind for one in function.outputs.values()} - OUTPUTS
    if unknown:
        raise CannotStart(
            f"function {function.name} cannot run here",
            why=f"this host has no binding of type {', '.join(sorted(unknown))}",
            fix=f"use {', '.join(sorted(TRIGGERS | OUTPUTS))}, or set AzureWebJobs.{function.name}.Disabled to true",
        )
    trigger = _expand(function.trigger, settings, f"function {function.name}, trigger {function.trigger.name}")
    outputs = {
        name: _expand(one, settings, f"function {function.name}, output {name}")
        for name, one in function.outputs.items()
    }
    return replace(function, trigger=trigger, outputs=outputs)


def _expand(binding: Binding, settings: Settings, where: str) -> Binding:
    return replace(binding, options=settings.expand_all(binding.options, where))
