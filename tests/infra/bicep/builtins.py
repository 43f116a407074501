"""Bicep's functions, as far as the templates need them. Names that Azure makes up come out in their real shape."""

import base64
import json
import uuid
from collections.abc import Callable, Mapping
from functools import reduce
from hashlib import sha256
from ipaddress import ip_network
from typing import Any

from tests.infra.bicep.values import Runtime, Thing

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
GROUP = "rg-refluent"
REGION = "westeurope"
ANY = 99


def _unique(*seeds: Any) -> str:
    digest = sha256("|".join(map(str, seeds)).encode()).digest()
    return base64.b32encode(digest).decode().lower().translate(str.maketrans("", "", "=27"))[:13].ljust(13, "a")


def _guid(*seeds: Any) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "|".join(map(str, seeds))))


def _union(*values: Any) -> Any:
    if isinstance(values[0], dict):
        merged: dict[str, Any] = {}
        for value in values:
            for key, inner in value.items():
                both = isinstance(merged.get(key), dict) and isinstance(inner, dict)
                merged[key] = _union(merged[key], inner) if both else inner
        return merged
    together: list[Any] = []
    for value in values:
        together += [one for one in value if one not in together]
    return together


def _contains(container: Any, wanted: Any) -> bool:
    return (
        any(one.lower() == wanted.lower() for one in container) if isinstance(container, dict) else wanted in container
    )


def _concat(*values: Any) -> Any:
    return [one for value in values for one in value] if isinstance(values[0], list) else "".join(map(str, values))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _group(name: str = GROUP) -> dict[str, Any]:
    place = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}"
    return {"id": place, "name": name, "location": REGION, "tags": {}, "subscriptionId": SUBSCRIPTION}


def _resource_id(type_: str, *names: Any) -> str:
    kinds = type_.split("/")
    pairs = "/".join(f"{kind}/{name}" for kind, name in zip(kinds[1:], names[-len(kinds) + 1 :], strict=True))
    return f"{_group()['id']}/providers/{kinds[0]}/{pairs}"


def _empty(value: Any) -> bool:
    return value is None or (not isinstance(value, Runtime) and len(value) == 0)


def _substring(text: str, start: int, length: int | None = None) -> str:
    return text[start:] if length is None else text[start : start + length]


def _cidr(network: str, size: int, index: int) -> str:
    return str(list(ip_network(network).subnets(new_prefix=size))[index])


type Builtin = tuple[int, int, Callable[..., Any]]

BUILTINS: Mapping[str, Builtin] = {  # name -> fewest arguments, most, what it does
    "any": (1, 1, lambda value: value),
    "array": (1, 1, lambda value: value if isinstance(value, list) else [value]),
    "base64": (1, 1, lambda text: base64.b64encode(text.encode()).decode()),
    "bool": (1, 1, lambda value: str(value).lower() in ("true", "1")),
    "cidrSubnet": (3, 3, _cidr),
    "coalesce": (1, ANY, lambda *values: next((value for value in values if value is not None), None)),
    "concat": (1, ANY, _concat),
    "contains": (2, 2, _contains),
    "deployer": (0, 0, lambda: {"objectId": Runtime("{deployer.objectId}"), "tenantId": Runtime("{tenant}")}),
    "deployment": (0, 0, lambda: {"name": Runtime("{deployment.name}")}),
    "distinct": (1, 1, _union),
    "empty": (1, 1, _empty),
    "endsWith": (2, 2, lambda text, end: text.lower().endswith(end.lower())),
    "environment": (0, 0, lambda: {
        "name": "AzureCloud",
        "resourceManager": "https://management.azure.com/",
        "suffixes": {"storage": "core.windows.net", "acrLoginServer": ".azurecr.io", "keyvaultDns": ".vault.azure.net"},
    }),
    "filter": (2, 2, lambda values, keep: [value for value in values if keep(value)]),
    "first": (1, 1, lambda values: values[0] if values else None),
    "flatten": (1, 1, lambda values: [one for value in values for one in value]),
    "format": (1, ANY, lambda text, *values: str(text).format(*values)),
    "guid": (1, ANY, _guid),
    "indexOf": (2, 2, lambda values, one: values.index(one) if one in values else -1),
    "int": (1, 1, int),
    "intersection": (2, ANY, lambda first, *rest: [one for one in first if all(one in other for other in rest)]),
    "items": (1, 1, lambda values: [{"key": key, "value": values[key]} for key in sorted(values)]),
    "join": (2, 2, lambda values, between: between.join(map(str, values))),
    "json": (1, 1, json.loads),
    "last": (1, 1, lambda values: values[-1] if values else None),
    "length": (1, 1, len),
    "map": (2, 2, lambda values, make: [make(value) for value in values]),
    "max": (1, ANY, lambda *values: max(values[0] if isinstance(values[0], list) else values)),
    "min": (1, ANY, lambda *values: min(values[0] if isinstance(values[0], list) else values)),
    "newGuid": (0, 0, lambda: Runtime("{newGuid}")),
    "objectKeys": (1, 1, sorted),
    "padLeft": (2, 3, lambda text, width, fill=" ": str(text).rjust(width, fill)),
    "range": (2, 2, lambda start, count: list(range(start, start + count))),
    "replace": (3, 3, lambda text, old, new: text.replace(old, new)),
    "reduce": (3, 3, lambda values, start, step: reduce(step, values, start)),
    "resourceGroup": (0, 2, _group),
    "resourceId": (2, ANY, _resource_id),
    "skip": (2, 2, lambda values, count: values[count:]),
    "split": (2, 2, lambda text, at: text.split(at)),
    "startsWith": (2, 2, lambda text, start: text.lower().startswith(start.lower())),
    "string": (1, 1, _text),
    "subscription": (0, 1, lambda: {
        "id": f"/subscriptions/{SUBSCRIPTION}", "subscriptionId": SUBSCRIPTION, "tenantId": Runtime("{tenant}"),
    }),
    "subscriptionResourceId": (2, ANY, lambda type_, *names: "/".join(
        (f"/subscriptions/{SUBSCRIPTION}/providers", type_, *map(str, names))
    )),
    "substring": (2, 3, _substring),
    "take": (2, 2, lambda values, count: values[:count]),
    "tenant": (0, 0, lambda: {"tenantId": Runtime("{tenant}")}),
    "tenantResourceId": (2, ANY, lambda type_, *names: "/".join(("/providers", type_, *map(str, names)))),
    "toLower": (1, 1, lambda text: text.lower() if not isinstance(text, Runtime) else text),
    "toObject": (2, 3, lambda values, key, make=lambda value: value: {key(one): make(one) for one in values}),
    "toUpper": (1, 1, lambda text: text.upper()),
    "trim": (1, 1, lambda text: text.strip()),
    "union": (2, ANY, _union),
    "uniqueString": (1, ANY, _unique),
    "uri": (2, 2, lambda base, path: f"{base.rstrip('/')}/{path.lstrip('/')}"),
    "uriComponent": (1, 1, lambda text: text),
    "utcNow": (0, 1, lambda form="": {"yyyy-MM": "2026-11", "yyyy-MM-01": "2026-11-01"}.get(form, "20261125T120000Z")),
    "dateTimeAdd": (2, 3, lambda _base, _span, _form="": "2036-11-01"),
}  # fmt: skip
READS_FILE: Mapping[str, Callable[[str], Any]] = {
    "loadTextContent": str,
    "loadJsonContent": json.loads,
}  # name -> what is made of the file's text


def interpolated(value: Any) -> str:
    """A value inside a text."""
    if isinstance(value, Thing | dict | list) or callable(value):
        raise TypeError(f"{value} is no text")
    return str(value).lower() if isinstance(value, bool) else str(value)
