"""What a deployment of a template would make: every expression evaluated, every module entered, nothing sent."""

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.infra.bicep import builtins
from tests.infra.bicep.parameters import Wrong, check_parameter
from tests.infra.bicep.read import template
from tests.infra.bicep.syntax import (
    Array,
    At,
    Call,
    Choice,
    Condition,
    Expression,
    Function,
    Index,
    Lambda,
    Literal,
    Loop,
    Member,
    Module,
    Name,
    Nested,
    Object,
    Operation,
    Parameter,
    Resource,
    Template,
    Text,
    Variable,
)
from tests.infra.bicep.values import Runtime, Thing, Value

PLACED = ("parent", "scope", "dependsOn")
ALWAYS_KNOWN = ("id", "name", "type", "apiVersion")
type Local = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Read:
    """A property of a resource that an expression reads."""

    thing: Thing
    path: tuple[str, ...]
    at: At


@dataclass(slots=True)
class World:
    """All files of a folder of templates, and what a deployment of one of them found.

    Args:
        files: Text by path, relative to the folder.
        resources: What would be made or is referred to, conditions that say no left out.
        modules: Modules that are deployed.
        reads: Properties of resources that are read.
        taken: Branches that were taken: place and outcome.
        wrong: What the deployment itself would end with.
        outputs: Of the file that was deployed.
    """

    files: Mapping[str, str]
    resources: list[Thing] = field(default_factory=list)
    modules: list[Thing] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    taken: set[tuple[At, bool]] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    outputs: dict[str, Value] = field(default_factory=dict)

    def deploy(self, path: str, parameters: Mapping[str, Value]) -> "World":
        """Deploy one file with these parameters."""
        self.outputs = _Deployment(self, template(path, self.files[path]), "", parameters).run()
        return self

    def made(self, type_: str = "") -> list[Thing]:
        """Resources that would be made, of one type if one is given."""
        return [one for one in self.resources if not one.existing and type_.lower() in ("", one.type.lower())]

    def meant(self, thing: Thing) -> Thing:
        """What a reference by name refers to, if this deployment makes it."""
        for one in self.resources if thing.existing else ():
            if not one.existing and _identity(one) == _identity(thing):
                return one
        return thing


def _identity(thing: Thing) -> tuple[object, ...]:
    above = _identity(thing.parent) if thing.parent else ()
    return (*above, thing.type.lower(), thing.name)


class _Deployment:
    """One template with its parameters, evaluated as names are asked for."""

    def __init__(self, world: World, source: Template, address: str, given: Mapping[str, Value]) -> None:
        self._world, self._source, self._address, self._given = world, source, address, given
        self._known: dict[str, Value] = {}
        self._open: list[str] = []
        self._outputs: dict[str, Value] | None = None

    def run(self) -> dict[str, Value]:
        """Evaluate everything that is declared, and give the outputs."""
        for name, parameter in self._source.parameters.items():
            if name not in self._given and parameter.default is None and not parameter.nullable:
                self._world.wrong.append(f"{parameter.at}: {name} is required, and {self._place()} does not give it")
        for name in self._given.keys() - self._source.parameters.keys():
            self._world.wrong.append(f"{self._source.path}: has no parameter {name}, which {self._place()} gives")
        for name, declared in self._source.declared.items():
            if not isinstance(declared, Function):
                self._attempt(name)
        return self.outputs()

    def outputs(self) -> dict[str, Value]:
        """The outputs, once evaluated."""
        if self._outputs is None:
            self._outputs = {}
            for name, output in self._source.outputs.items():
                try:
                    self._outputs[name] = self.value(output.value, {})
                except Wrong as problem:
                    self._note(problem)
        return self._outputs

    def _attempt(self, name: str) -> None:
        try:
            self._named(name, self._source.declared[name].at)
        except Wrong as problem:
            self._note(problem)

    def _beside(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(posixpath.dirname(self._source.path), path))

    def _note(self, problem: Wrong) -> None:
        if str(problem) not in self._world.wrong:
            self._world.wrong.append(str(problem))

    def _place(self) -> str:
        return self._address or "the deployment"

    def _within(self, name: str) -> str:
        return f"{self._address}.{name}" if self._address else name

    def _named(self, name: str, at: At) -> Value:
        if name in self._known:
            return self._known[name]
        declared = self._source.declared.get(name)
        if declared is None or isinstance(declared, Function):
            raise Wrong(f"{at}: nothing is called {name}")
        if name in self._open:
            raise Wrong(f"{at}: {name} is defined by itself")
        self._open.append(name)
        try:
            self._known[name] = self._declared(declared)
        finally:
            self._open.pop()
        return self._known[name]

    def _declared(self, declared: Parameter | Variable | Resource | Module) -> Value:
        match declared:
            case Variable(value=value):
                return self.value(value, {})
            case Parameter():
                return self._parameter(declared)
            case Resource():
                return self._placed(declared.body, {}, partial(self._made, declared, None))
            case Module():
                return self._placed(declared.body, {}, partial(self._module, declared))

    def _parameter(self, parameter: Parameter) -> Value:
        if parameter.name in self._given:
            value = self._given[parameter.name]
        else:
            value = None if parameter.default is None else self.value(parameter.default, {})
            if parameter.default is None and not parameter.nullable:
                return Runtime(f"{{{self._within(parameter.name)}}}")
        if not (value is None and parameter.name in self._given and parameter.default is not None):
            for problem in check_parameter(parameter, value):
                self._world.wrong.append(f"{parameter.at}: {problem} by {self._place()}")
        return value

    def _placed(self, body: Expression, local: Local, make: "Maker", mark: str = "", *, deployed: bool = True) -> Value:
        """One thing, or one for each turn of a loop, deployed or not."""
        match body:
            case Loop():
                return [
                    self._placed(body.body, inner, make, f"[{number}]", deployed=deployed)
                    for number, inner in enumerate(self._turns(body, local))
                ]
            case Condition(condition=condition, body=inner_body):
                here = self._holds(condition, local)
                return self._placed(inner_body, local, make, mark, deployed=deployed and here)
            case Object():
                return make(body, local, (mark, deployed))
        raise Wrong(f"{body.at}: a resource or module has an object as its body")

    def _made(
        self, declared: Resource, parent: Thing | None, body: Object, local: Local, mark: tuple[str, bool]
    ) -> Thing:
        number, deployed = mark
        within = f"{parent.address}.{declared.name}" if parent else self._within(declared.name)
        full = f"{parent.type}/{declared.type}" if parent else declared.type
        api = declared.api or (parent.api if parent else "")
        thing = Thing(within + number, full, api, declared.at, existing=declared.existing, parent=parent)
        thing.deployed = deployed and (parent is None or parent.deployed)
        parts = {self._key(key, local): value for key, value in body.items}
        thing.name = self.value(parts["name"], local) if "name" in parts else None
        if thing.deployed:
            self._fill(thing, declared, parts, local)
        for child in body.nested:
            made = self._placed(child.body, local, partial(self._made, child, thing))
            thing.children[child.name] = made  # type: ignore[assignment]  # what _made makes
        return thing

    def _fill(self, thing: Thing, declared: Resource, parts: Mapping[str, Expression], local: Local) -> None:
        if "parent" in parts:
            above = self.value(parts["parent"], local)
            thing.parent = above if isinstance(above, Thing) else None
            if thing.parent is None:
                raise Wrong(f"{declared.at}: the parent of {declared.name} is no resource")
        thing.scope = self.value(parts["scope"], local) if "scope" in parts else None
        if "dependsOn" in parts:
            self.value(parts["dependsOn"], local)
        thing.body = {key: self.value(value, local) for key, value in parts.items() if key not in PLACED}
        self._world.resources.append(thing)

    def _module(self, declared: Module, body: Object, local: Local, mark: tuple[str, bool]) -> Thing:
        number, deployed = mark
        thing = Thing(self._within(declared.name) + number, "", "", declared.at, deployed=deployed)
        parts = {self._key(key, local): value for key, value in body.items}
        thing.name = self.value(parts["name"], local) if "name" in parts else None
        if not deployed:
            return thing
        thing.scope = self.value(parts["scope"], local) if "scope" in parts else None
        if "dependsOn" in parts:
            self.value(parts["dependsOn"], local)
        given = self.value(parts["params"], local) if "params" in parts else {}
        path = self._beside(declared.path)
        if path not in self._world.files:
            raise Wrong(f"{declared.at}: there is no {declared.path}")
        if not isinstance(given, dict):
            raise Wrong(f"{declared.at}: params is no object")
        inner = _Deployment(self._world, template(path, self._world.files[path]), thing.address, given)
        thing.outputs = inner.outputs
        self._world.modules.append(thing)
        inner.run()
        return thing

    def value(self, node: Expression, local: Local) -> Value:
        """What an expression comes to.

        Raises:
            Wrong: No deployment could evaluate it.
        """
        match node:
            case Literal(value=value):
                return value
            case Name(name=name, at=at):
                return local[name] if name in local else self._named(name, at)
            case Array(items=items):
                return [self.value(one, local) for one in items]
            case Object(items=pairs):
                return {self._key(key, local): self.value(value, local) for key, value in pairs}
            case Text():
                return self._text(node, local)
        return self._flowing(node, local)

    def _flowing(self, node: Expression, local: Local) -> Value:
        match node:
            case Choice(condition=condition, yes=yes, no=no):
                return self.value(yes if self._holds(condition, local) else no, local)
            case Loop(body=body):
                return [self.value(body, inner) for inner in self._turns(node, local)]
            case Lambda(parameters=names, body=body):
                return lambda *given: self.value(body, {**local, **dict(zip(names, given, strict=True))})
            case Member() | Index() | Nested() | Call() | Operation():
                return self._composed(node, local)
        raise Wrong(f"{node.at}: no value is wanted here, and there is {type(node).__name__}")

    def _composed(self, node: Member | Index | Nested | Call | Operation, local: Local) -> Value:
        match node:
            case Member(of=of, name=name, safe=safe, at=at):
                return self._member(self.value(of, local), name, at, safe=safe)
            case Index(of=of, index=index, safe=safe, at=at):
                return self._index(self.value(of, local), self.value(index, local), at, safe=safe)
            case Nested(of=of, name=name, at=at):
                parent = self.value(of, local)
                if not isinstance(parent, Thing) or name not in parent.children:
                    raise Wrong(f"{at}: nothing is called {name} inside {parent}")
                return parent.children[name]  # type: ignore[return-value]  # a list of things is a value
            case Operation():
                return self._operation(node, local)
            case Call():
                return self._call(node, local)

    def _text(self, node: Text, local: Local) -> Value:
        parts = [part if isinstance(part, str) else self.value(part, local) for part in node.parts]
        if len(parts) == 1 and isinstance(parts[0], Runtime):
            return parts[0]
        try:
            return "".join(builtins.interpolated(part) for part in parts)
        except TypeError as problem:
            raise Wrong(f"{node.at}: {problem}") from problem

    def _key(self, key: Text, local: Local) -> str:
        return str(self._text(key, local))

    def _turns(self, node: Loop, local: Local) -> list[Local]:
        over = self.value(node.over, local)
        if not isinstance(over, list):
            raise Wrong(f"{node.at}: {over!r} is no array to loop over")
        return [{**local, node.item: one, **({node.index: at} if node.index else {})} for at, one in enumerate(over)]

    def _holds(self, condition: Expression, local: Local) -> bool:
        said = self.value(condition, local)
        if not isinstance(said, bool):
            raise Wrong(f"{condition.at}: a condition is true or false, not {said!r}")
        self._world.taken.add((condition.at, said))
        return said

    def _member(self, of: Value, name: str, at: At, *, safe: bool) -> Value:
        if of is None and safe:
            return None
        if isinstance(of, Thing):
            return self._of_thing(of, name, at, safe=safe)
        if isinstance(of, Runtime):
            return self._of_runtime(of, name, at)
        if isinstance(of, dict) and (safe or name in of):
            return of.get(name)
        raise Wrong(f"{at}: there is no {name} in {of if not isinstance(of, dict) else sorted(of)}")

    def _of_thing(self, of: Thing, name: str, at: At, *, safe: bool) -> Value:
        if name == "name" and isinstance(of.name, str):
            return of.name
        if not of.deployed and name not in ALWAYS_KNOWN:
            if safe:
                return None
            raise Wrong(f"{at}: reads {name} of {of}, which is not deployed here")
        if of.outputs is not None:
            if name != "outputs":
                raise Wrong(f"{at}: a module has outputs and a name, no {name}")
            return of.outputs()
        return self._read(of, (name,), at)

    def _of_runtime(self, of: Runtime, name: str, at: At) -> Value:
        if of.thing is None:
            raise Wrong(f"{at}: there is no {name} in {of}")
        return self._read(of.thing, (*of.path, name), at)

    def _read(self, thing: Thing, path: tuple[str, ...], at: At) -> Runtime:
        self._world.reads.append(Read(thing, path, at))
        found = Runtime(f"{{{thing.address}.{'.'.join(path)}}}")
        found.thing, found.path = thing, path
        return found

    def _index(self, of: Value, index: Value, at: At, *, safe: bool) -> Value:
        if isinstance(of, dict) and isinstance(index, str):
            return self._member(of, index, at, safe=safe)
        if isinstance(of, Runtime) and of.thing:
            return self._read(of.thing, (*of.path, str(index)), at)
        if isinstance(of, list) and isinstance(index, int) and (safe or -1 < index < len(of)):
            return of[index] if index < len(of) else None
        raise Wrong(f"{at}: there is no [{index}] in {of}")

    def _operation(self, node: Operation, local: Local) -> Value:
        first = self.value(node.operands[0], local)
        if len(node.operands) == 1:
            return self._checked(node, lambda: not first if node.operator == "!" else -first)  # type: ignore[operator]
        lazy = {"&&": first is False, "||": first is True, "??": first is not None}
        if lazy.get(node.operator):
            return first
        second = self.value(node.operands[1], local)
        if node.operator in lazy:
            return second
        return self._checked(node, lambda: OPERATORS[node.operator](first, second))

    def _call(self, node: Call, local: Local) -> Value:
        if "." in node.function:  # account.listKeys() and its like: a secret, which only Azure has
            return Runtime(f"{{{node.function}}}")
        arguments = [self.value(one, local) for one in node.arguments]
        own = self._source.declared.get(node.function)
        if isinstance(own, Function):
            return self.value(own.body, dict(zip(own.parameters, arguments, strict=True)))
        if node.function in builtins.READS_FILE:
            path = self._beside(str(arguments[0]))
            if path not in self._world.files:
                raise Wrong(f"{node.at}: there is no {arguments[0]}")
            loaded: Value = builtins.READS_FILE[node.function](self._world.files[path])
            return loaded
        if node.function not in builtins.BUILTINS:
            raise Wrong(f"{node.at}: there is no function {node.function}")
        fewest, most, work = builtins.BUILTINS[node.function]
        if not fewest <= len(arguments) <= most:
            raise Wrong(f"{node.at}: {node.function} is given {len(arguments)} arguments")
        return self._checked(node, lambda: work(*arguments))

    def _checked(self, node: Expression, work: Callable[[], Any]) -> Value:
        try:
            done: Value = work()
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as problem:
            raise Wrong(f"{node.at}: {problem}") from problem
        return done


type Maker = Callable[[Object, Local, tuple[str, bool]], Value]
OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "=~": lambda one, other: one.lower() == other.lower(),
    "!~": lambda one, other: one.lower() != other.lower(),
    "<": lambda one, other: one < other,
    ">": lambda one, other: one > other,
    "<=": lambda one, other: one <= other,
    ">=": lambda one, other: one >= other,
    "+": lambda one, other: one + other,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
    "/": lambda one, other: one // other,
    "%": lambda one, other: one % other,
}
