"""What the code asks of Azure: every use of an SDK's client in functions/cloud, found in its syntax."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.infra.estate import ROOT

SDKS = ("azure.", "msrest")
CLIENTS = ("Client", "Manager", "Credential")  # what holds a connection or a right
FOLDER = ROOT / "functions" / "cloud"


def calls() -> set[str]:
    """Each as `file: chain`, such as `blobs: get_blob_client.upload_blob`."""
    return {f"{path.stem}: {chain}" for path in sorted(FOLDER.glob("*.py")) for chain in _calls(path)}


def _calls(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text("utf-8"))
    imported, functions = _imported(tree, CLIENTS), {name for name in _imported(tree, "") if name.islower()}
    for scope in [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]:
        clients = _clients(scope, imported)
        inside: set[ast.expr] = set()
        for node in ast.walk(scope):
            if isinstance(node, ast.Call) and any(one.arg == "credential" for one in node.keywords):
                name = ast.unparse(node.func)
                if name in functions:  # it is handed the right to use it
                    yield name
            if isinstance(node, ast.Call | ast.Attribute) and node not in inside:
                root, chain, inner = _chain(node)
                inside |= inner
                if chain and root in clients:
                    yield chain


def _imported(tree: ast.Module, endings: str | tuple[str, ...]) -> set[str]:
    """Names that come from the SDKs, with one of these endings."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(SDKS)
        for alias in node.names
        if alias.name.endswith(endings)
    }


def _clients(scope: ast.AST, imported: set[str]) -> set[str]:
    """Names, attributes and methods that are such an object: by annotation, by `with … as`, by assignment."""
    found = {name for node in ast.walk(scope) for name in _said_to_be(node, imported)}
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign):
            for one, value in zip(_each(node.targets[0]), _each(node.value), strict=False):
                if _mentions(value, imported) or ast.unparse(value) in found:
                    found.add(ast.unparse(one))
    return found


def _said_to_be(node: ast.AST, imported: set[str]) -> Iterator[str]:
    match node:
        case ast.FunctionDef(args=given, returns=returns):
            for one in (*given.args, *given.kwonlyargs):
                if one.annotation and _mentions(one.annotation, imported):
                    yield one.arg
            if returns and _mentions(returns, imported):
                yield f"self.{node.name}"
        case ast.AnnAssign(target=target, annotation=kind) if _mentions(kind, imported):
            yield ast.unparse(target)
        case ast.withitem(context_expr=made, optional_vars=name) if name and _mentions(made, imported):
            yield ast.unparse(name)


def _each(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _mentions(node: ast.AST, names: set[str]) -> bool:
    return any(isinstance(one, ast.Name) and one.id in names for one in ast.walk(node))


def _chain(whole: ast.expr) -> tuple[str, str, set[ast.expr]]:
    """Where it begins, the names that follow, and all inside: `self._x`, `a.b` and the parts, of `self._x.a().b()`."""
    names: list[str] = []
    inner: set[ast.expr] = set()
    node = whole
    while True:
        inner.add(node)
        if isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            names.append(node.attr)
            node = node.value
        else:
            return ast.unparse(node), ".".join(reversed(names)), inner
