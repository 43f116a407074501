"""The reader itself: what Bicep means, by examples."""

import pytest

from tests.infra.bicep.deploy import World
from tests.infra.bicep.parameters import fits
from tests.infra.bicep.read import template
from tests.infra.bicep.symbols import problems
from tests.infra.bicep.tokens import Unreadable
from tests.infra.bicep.values import Runtime, Value, get

PLAN = "Microsoft.Web/serverfarms@2024-11-01"


def world(text: str, **parameters: Value) -> World:
    return World({"it.bicep": text}).deploy("it.bicep", parameters)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("!true || 1 < 2 && 'a' == 'a'", True),
        ("true ? { a: 1 }.a : 2", 1),
        ("false ? 1 : { a: { b: 2 } }.a.b", 2),
        ("true && { a: 'x' }.a == 'x'", True),
        ("{ a: null }.a ?? 'none'", "none"),
        ("{ a: 1 }.?b ?? 3", 3),
        ("[1, 2, 3][1]", 2),
        ("[toLower('A'), first(['b', 'c'])]", ["a", "b"]),
        ("'it\\'s \\${no} ${1 + 1} ${toUpper('x')}'", "it's ${no} 2 X"),
        ("'''\nraw ${x}\n'''", "raw ${x}\n"),
        ("[for (c, i) in ['a', 'b']: '${c}${i}']", ["a0", "b1"]),
        ("map([1, 2], n => n * 10)", [10, 20]),
        ("reduce([1, 2], 0, (sum, n) => sum + n)", 3),
        ("union({ a: { x: 1 } }, { a: { y: 2 } })", {"a": {"x": 1, "y": 2}}),
        ("items({ b: 2, a: 1 })", [{"key": "a", "value": 1}, {"key": "b", "value": 2}]),
        ("1 == 2\n  ? 'yes'\n  : 'no'", "no"),
    ],
)
def test_an_expression_comes_to(expression: str, value: Value) -> None:
    found = world(f"output it string = {expression}\n")
    assert (found.wrong, found.outputs) == ([], {"it": value})


@pytest.mark.parametrize(
    "text",
    [
        "var a = { b: 1 c: 2 }",
        "var a = { b: 1, b: 2 }",
        "var a = 'open",
        "var a = [1 2]",
        "var a = (1",
        "var a = 1 var b = 2",
        "var a = 1\nvar a = 2",
        "var a = 'no \\escape'",
        "resource a 'x/${b}@1' = {}",
        "something else",
    ],
)
def test_what_the_compiler_refuses_is_refused(text: str) -> None:
    with pytest.raises(Unreadable, match=r"it\.bicep:\d"):
        template("it.bicep", f"{text}\n")


def test_a_value_that_only_azure_knows_says_where_it_comes_from() -> None:
    plan = f"resource plan '{PLAN}' = {{\n  name: 'p'\n}}\n"
    found = world(f"{plan}output id string = plan.id\noutput at string = 'at ${{plan.properties.status}}'\n").outputs
    assert found == {"id": "{plan.id}", "at": "at {plan.properties.status}"}
    assert isinstance(found["id"], Runtime)


def test_loops_conditions_children_and_modules_are_entered() -> None:
    inner = f"param n string\nresource plan '{PLAN}' = {{\n  name: n\n  properties: {{ note: n }}\n}}\n"
    inner += "output id string = plan.id\n"
    main = "module each 'm/inner.bicep' = [for n in ['a', 'b']: if (n != 'b') {\n  params: { n: n }\n}]\n"
    main += "output first string = each[0].outputs.id\n"
    found = World({"it.bicep": main, "m/inner.bicep": inner}).deploy("it.bicep", {})
    assert found.wrong == []
    assert [(one.address, get(one.body, "properties.note")) for one in found.made()] == [("each[0].plan", "a")]
    assert found.outputs == {"first": "{each[0].plan.id}"}


def test_what_is_not_deployed_can_be_named_and_not_read() -> None:
    plan = f"resource plan '{PLAN}' = if (false) {{\n  name: 'p'\n}}\n"
    found = world(f"{plan}output id string = plan.id\noutput status string = plan.properties.status\n")
    assert found.outputs == {"id": "{plan.id}"}
    assert found.wrong == ["it.bicep:5: reads properties of {plan}, which is not deployed here"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("var a = b\noutput o string = a", "it.bicep:1: nothing is called b"),
        ("var a = nothing(1)\noutput o string = a", "it.bicep:1: there is no function nothing"),
        ("param a string", "it.bicep:1: a is never used"),
        (f"resource a '{PLAN}' existing = {{\n  name: 'a'\n}}", "it.bicep:1: a is never used"),
        (
            f"resource a '{PLAN}' = {{ name: 'a' }}\nvar n = a.properties.status\nresource b '{PLAN}' = {{ name: n }}",
            "it.bicep:2: a.properties is known only once it is deployed, and b needs it before",
        ),
    ],
)
def test_a_name_that_is_wrong_is_found(text: str, problem: str) -> None:
    assert list(problems(template("it.bicep", f"{text}\n"))) == [problem]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", "x", True), ("string", 1, False), ("int", True, False), ("bool", True, True), ("object", {}, True),
        ("string[]", ["x"], True), ("string[]", [1], False), ("string?", None, True), ("array", "x", False),
        ("'a' | 'b'", "b", True), ("'a' | 'b'", "c", False),
    ],
)  # fmt: skip
def test_a_parameter_takes_its_type(kind: str, value: Value, *, expected: bool) -> None:
    assert fits(kind, value) is expected
