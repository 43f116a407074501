"""What a Bicep file is made of."""

from collections.abc import Iterator
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class At:
    """A place in a file, counted from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, true, false or null."""

    value: int | bool | None
    at: At


@dataclass(frozen=True, slots=True)
class Text:
    """A string; expressions between its plain parts are interpolated."""

    parts: tuple["str | Expression", ...]
    at: At


@dataclass(frozen=True, slots=True)
class Name:
    name: str
    at: At


@dataclass(frozen=True, slots=True)
class Array:
    items: tuple["Expression", ...]
    at: At


@dataclass(frozen=True, slots=True)
class Object:
    """Properties in their order; `nested` are the child resources declared inside."""

    items: tuple[tuple["Text", "Expression"], ...]
    nested: tuple["Resource", ...]
    at: At


@dataclass(frozen=True, slots=True)
class Member:
    """`of.name`; `safe` for `of.?name`, which is null where there is nothing."""

    of: "Expression"
    name: str
    safe: bool
    at: At


@dataclass(frozen=True, slots=True)
class Index:
    of: "Expression"
    index: "Expression"
    safe: bool
    at: At


@dataclass(frozen=True, slots=True)
class Nested:
    """`of::name`, a resource declared inside another."""

    of: "Expression"
    name: str
    at: At


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple["Expression", ...]
    at: At


@dataclass(frozen=True, slots=True)
class Operation:
    """One operand: `!` or `-`; two: arithmetic, comparison, logic, `??`."""

    operator: str
    operands: tuple["Expression", ...]
    at: At


@dataclass(frozen=True, slots=True)
class Choice:
    """`condition ? yes : no`."""

    condition: "Expression"
    yes: "Expression"
    no: "Expression"
    at: At


@dataclass(frozen=True, slots=True)
class Loop:
    """`[for item, index in over: body]`."""

    item: str
    index: str | None
    over: "Expression"
    body: "Expression"
    at: At


@dataclass(frozen=True, slots=True)
class Condition:
    """`if (condition) body`, before the body of a resource or module."""

    condition: "Expression"
    body: "Expression"
    at: At


@dataclass(frozen=True, slots=True)
class Lambda:
    parameters: tuple[str, ...]
    body: "Expression"
    at: At


type Expression = (
    Literal | Text | Name | Array | Object | Member | Index | Nested | Call | Operation | Choice | Loop | Condition
    | Lambda
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decorator:
    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """`type` is the written one, without its question mark."""

    name: str
    type: str
    nullable: bool
    default: Expression | None
    decorators: tuple[Decorator, ...]
    at: At


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    value: Expression
    at: At


@dataclass(frozen=True, slots=True)
class Resource:
    """`type` and `api` as written: a child declared inside its parent has the last segment, and perhaps no version."""

    name: str
    type: str
    api: str
    existing: bool
    body: Expression
    at: At


@dataclass(frozen=True, slots=True)
class Module:
    name: str
    path: str
    body: Expression
    at: At


@dataclass(frozen=True, slots=True)
class Output:
    name: str
    type: str
    value: Expression
    decorators: tuple[Decorator, ...]
    at: At


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    parameters: tuple[str, ...]
    body: Expression
    at: At


type Declared = Parameter | Variable | Resource | Module | Function


@dataclass(frozen=True, slots=True)
class Template:
    """One file: its declarations by name, outputs apart, for an output may be called what a parameter is."""

    path: str
    scope: str
    declared: dict[str, Declared]
    outputs: dict[str, Output]

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The file's parameters by name."""
        return {name: one for name, one in self.declared.items() if isinstance(one, Parameter)}

    def declarations(self) -> Iterator[Declared | Output]:
        """All of them, in their order; child resources are in their parent's body."""
        yield from self.declared.values()
        yield from self.outputs.values()


EXPRESSIONS = (
    Literal, Text, Name, Array, Object, Member, Index, Nested, Call, Operation, Choice, Loop, Condition, Lambda,
)  # fmt: skip


def inside(node: object) -> Iterator[Expression]:
    """Every expression in a node, itself included, child resources' too."""
    if isinstance(node, EXPRESSIONS):
        yield node
    if isinstance(node, tuple):
        for one in node:
            yield from inside(one)
    elif hasattr(node, "__dataclass_fields__") and not isinstance(node, At):
        for field in fields(node):  # type: ignore[arg-type]  # every node of this module is a dataclass
            yield from inside(getattr(node, field.name))
