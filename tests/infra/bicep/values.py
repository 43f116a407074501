"""What expressions come to: plain values, and texts that only Azure knows."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.infra.bicep.syntax import At


class Runtime(str):  # noqa: SLOT000  # it carries where it comes from
    """A value that only a deployment knows, written as the expression in braces that reads it: `{account.id}`.

    Args:
        thing: The resource or module it is read from, if any.
        path: The properties that lead to it.
    """

    thing: "Thing | None" = None
    path: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class Thing:
    """A resource or module as a name in a template.

    Args:
        address: Its name in its template behind those of the modules around it, such as `data.account`.
        type: Full type of a resource; empty for a module.
        api: API version; empty for a module.
        name: The evaluated name.
        deployed: False where its condition says no.
        existing: Only referred to, not made.
        parent: The resource it belongs to.
        body: The evaluated body of a resource, without `parent`, `scope`, `dependsOn` and children.
        scope: What it is an extension of, or where it is deployed.
        children: Resources declared inside it.
        outputs: A module's outputs, evaluated when first asked for.
        at: Where it is declared.
    """

    address: str
    type: str
    api: str
    at: At
    name: "Value" = None
    deployed: bool = True
    existing: bool = False
    parent: "Thing | None" = None
    scope: "Value" = None
    body: dict[str, "Value"] = field(default_factory=dict)
    children: dict[str, "Thing | list[Thing]"] = field(default_factory=dict)
    outputs: Callable[[], dict[str, "Value"]] | None = None

    def __str__(self) -> str:
        return f"{{{self.address}}}"


type Value = bool | int | str | list[Value] | dict[str, Value] | Thing | Callable[..., Value] | None


def get(body: "Value", path: str) -> "Value":
    """What is at a path such as `properties.networkAcls.defaultAction`; None where nothing is."""
    for step in path.split("."):
        if not isinstance(body, dict):
            return None
        body = body.get(step)
    return body
