"""What Bicep's compiler and linter say of names: undefined, unused, or known too late."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from tests.infra.bicep.builtins import BUILTINS, READS_FILE
from tests.infra.bicep.syntax import (
    At,
    Call,
    Choice,
    Condition,
    Declared,
    Expression,
    Function,
    Index,
    Lambda,
    Loop,
    Member,
    Module,
    Name,
    Nested,
    Object,
    Output,
    Parameter,
    Resource,
    Template,
    Variable,
)

KNOWN_AT_ONCE = ("id", "name", "type", "apiVersion")  # of a resource; everything else is known once it is there
EARLY = ("name", "scope")  # properties that must be known before anything is deployed


def problems(template: Template) -> Iterator[str]:
    """Everything that is wrong with the names in one file."""
    used: set[str] = set()
    for declared in template.declarations():
        yield from _names(declared, template, frozenset(), used)
    for name, one in template.declared.items():
        counts = isinstance(one, Parameter | Variable | Function) or (isinstance(one, Resource) and one.existing)
        if counts and name not in used:
            yield f"{one.at}: {name} is never used"
    for one in _placed(template):
        yield from _late(one, template)


def _placed(template: Template) -> Iterator[Resource | Module]:
    waiting = [one for one in template.declared.values() if isinstance(one, Resource | Module)]
    while waiting:
        one = waiting.pop()
        yield one
        body = _object(one.body)
        waiting += body.nested if body else ()


def _names(node: Any, template: Template, local: frozenset[str], used: set[str]) -> Iterator[str]:
    match node:
        case Name(name=name, at=at):
            used.add(name)
            if name not in local and name not in template.declared:
                yield f"{at}: nothing is called {name}"
            return
        case Call(function=function, at=at):
            used.add(function.partition(".")[0])
            known = function in BUILTINS or function in READS_FILE or "." in function
            if not known and not isinstance(template.declared.get(function), Function):
                yield f"{at}: there is no function {function}"
        case Loop(item=item, index=index, over=over, body=body):
            yield from _names(over, template, local, used)
            yield from _names(body, template, local | {item, *([index] if index else [])}, used)
            return
        case Lambda(parameters=names) | Function(parameters=names):
            local |= set(names)
        case Object(nested=nested):
            local |= {one.name for one in nested}
    yield from (problem for part in _parts(node) for problem in _names(part, template, local, used))


def _parts(node: Any) -> Iterator[Any]:
    if isinstance(node, tuple):
        yield from node
    elif hasattr(node, "__dataclass_fields__") and not isinstance(node, At):
        yield from (getattr(node, field.name) for field in fields(node))


def _late(one: Resource | Module, template: Template) -> Iterator[str]:
    body = one.body
    early: list[Expression] = []
    while isinstance(body, Loop | Condition):
        early.append(body.over if isinstance(body, Loop) else body.condition)
        body = body.body
    if isinstance(body, Object):
        early += [value for key, value in body.items if key.parts in [(name,) for name in EARLY]]
    for expression in early:
        for at, what in _reads(expression, template, set()):
            yield f"{at}: {what} is known only once it is deployed, and {one.name} needs it before"


def _reads(node: Any, template: Template, seen: set[str]) -> Iterator[tuple[At, str]]:
    """What an expression reads of resources and modules that is not known before they are deployed."""
    match node:
        case Member(of=of, name=name, at=at) if name not in KNOWN_AT_ONCE and (symbol := _symbol(of)):
            declared = template.declared.get(symbol)
            if isinstance(declared, Resource | Module):
                yield at, f"{symbol}.{name}"
                return
        case Name(name=name) if name not in seen and isinstance(template.declared.get(name), Variable):
            seen.add(name)
            yield from _reads(template.declared[name], template, seen)
            return
    yield from (read for part in _parts(node) for read in _reads(part, template, seen))


def _symbol(node: Expression) -> str:
    match node:
        case Name(name=name):
            return name
        case Index(of=of) | Nested(of=of):
            return _symbol(of)
    return ""


def _object(body: Expression) -> Object | None:
    while isinstance(body, Loop | Condition):
        body = body.body
    return body if isinstance(body, Object) else None


def branches(node: Declared | Output) -> Iterator[At]:
    """Where a declaration asks whether something holds."""
    yield from _branches(node)


def _branches(node: Any) -> Iterator[At]:
    if isinstance(node, Choice | Condition):
        yield node.condition.at
    yield from (at for part in _parts(node) for at in _branches(part))
