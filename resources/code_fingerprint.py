"""What a function's code means, as one hash: its syntax tree, and that of everything of ours that it reaches.

Read from the source, never by running it. Comments, docstrings, annotations of functions and formatting have no meaning
here. What is reached through an object that the function is given is not seen: its results have versions of their own.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, order=True)
class Place:
    """A name at the top level of a module; without a name, the module as a whole."""

    module: str
    name: str = ""


@dataclass(frozen=True)
class Module:
    """A module's source: which names it binds at its top level, and to what."""

    name: str
    is_package: bool
    tree: ast.Module

    @cached_property
    def definitions(self) -> Mapping[str, list[ast.stmt]]:
        """The statements that make each name, in their order."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in _top_level(self.tree.body):
            for name in _names_bound(statement):
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def own(self) -> Mapping[str, Place]:
        """The names that it defines itself, as others refer to them."""
        return {name: Place(self.name, name) for name in self.definitions}

    @cached_property
    def imports(self) -> Mapping[str, Place]:
        """What each imported name stands for."""
        return self.imported(*_top_level(self.tree.body))

    def imported(self, *nodes: ast.AST) -> dict[str, Place]:
        """What the names that are imported by these statements stand for."""
        found: dict[str, Place] = {}
        for node in nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    whole = alias.name if alias.asname else alias.name.partition(".")[0]
                    found[alias.asname or whole] = Place(whole)
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                found |= {alias.asname or alias.name: Place(origin, alias.name) for alias in node.names}
        return found

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".")[: None if self.is_package else -1]
        parts = package[: len(package) - node.level + 1]
        return ".".join([*parts, *([node.module] if node.module else [])])


@dataclass
class SourceTree:
    """Our packages as source. `results_free` are modules whose code changes no result: pictures, progress."""

    packages: Sequence[str]
    results_free: Sequence[str] = ()
    root: Path | None = None
    _modules: dict[str, Module | None] = field(default_factory=dict, init=False, repr=False)
    _known: dict[Place, tuple[str, list[Place]]] = field(default_factory=dict, init=False, repr=False)

    def fingerprint(self, module: str, name: str) -> str:
        """Hash of the meaning of a function and of all that it reaches; its decorators are no part of it."""
        digest = hashlib.sha256()
        for place, meaning in sorted(self.reached(module, name).items()):
            digest.update(f"{place.module}\0{place.name}\0{meaning}\0".encode())
        return digest.hexdigest()[:16]

    def reached(self, module: str, name: str) -> dict[Place, str]:
        """The meaning of the function and of each definition of ours that it reaches, near or far."""
        start = Place(module, name)
        found: dict[Place, str] = {}
        left = [start]
        while left:
            place = left.pop()
            if place in found:
                continue
            found[place], others = self._read(place) if place == start else self._read_once(place)
            left += others
        return found

    def _read_once(self, place: Place) -> tuple[str, list[Place]]:
        if place not in self._known:
            self._known[place] = self._read(place, entry=False)
        return self._known[place]

    def _read(self, place: Place, *, entry: bool = True) -> tuple[str, list[Place]]:
        """The hash of a definition, and what it refers to."""
        nodes = self._definitions(place, entry=entry)
        meaning = hashlib.sha256("".join(map(_meaning, nodes)).encode()).hexdigest()
        return meaning, [other for node in nodes for other in self._references(place.module, node)]

    def module(self, name: str) -> Module | None:
        """A module of ours, or None for any other name."""
        if name not in self._modules:
            path = self._path(name)
            self._modules[name] = _parsed(name, path, path.stat().st_mtime_ns) if path else None
        return self._modules[name]

    def _path(self, name: str) -> Path | None:
        if name.partition(".")[0] not in self.packages or name in self.results_free:
            return None
        if self.root is not None:
            below = self.root.joinpath(*name.split("."))
            candidates = [below / "__init__.py", below.with_suffix(".py")]
            return next((path for path in candidates if path.is_file()), None)
        loaded = getattr(sys.modules.get(name), "__file__", None)
        if loaded is not None:
            return Path(loaded)
        try:
            spec = find_spec(name)
        except ModuleNotFoundError:
            return None
        return Path(spec.origin) if spec and spec.origin else None

    def _definitions(self, place: Place, *, entry: bool) -> list[ast.stmt]:
        module = self.module(place.module)
        if module is None:
            raise LookupError(f"{place.module} is no module of {', '.join(self.packages)}")
        nodes = module.definitions.get(place.name, []) if place.name else _top_level(module.tree.body)
        if not entry:
            return list(nodes)
        if not nodes:
            raise LookupError(f"{place.module} defines no {place.name}")
        return [_without_decorators(node) for node in nodes]

    def _references(self, module_name: str, node: ast.AST) -> Iterator[Place]:
        module = self.module(module_name)
        if module is None:
            return
        within = list(ast.walk(node))
        names = {**module.imports, **module.imported(*within), **module.own}
        local, given = _local_names(within), _parameters(node)
        for dotted in _dotted_names(node):
            if dotted[0] in given:
                continue
            for place in self._resolved(names[dotted[0]], dotted[1:]) if dotted[0] in names else ():
                # a variable may well be called like a module; one that is called like a function counts as the function
                if place.name or dotted[0] not in local:
                    yield place

    def _resolved(self, place: Place, attributes: Sequence[str]) -> Iterator[Place]:
        """The definition that a place stands for, through imports and attributes of modules; nothing for others' code."""
        below = f"{place.module}.{place.name}" if place.name else place.module
        module = self.module(place.module)
        if place.name and module and place.name in module.definitions:
            yield place
        elif place.name and module and place.name in module.imports:
            yield from self._resolved(module.imports[place.name], attributes)
        elif self.module(below):
            if attributes:
                yield from self._resolved(Place(below, attributes[0]), attributes[1:])
            else:
                # the module itself is handed on: whoever has it may use all of it
                yield Place(below)


@lru_cache(maxsize=512)
def _parsed(name: str, path: Path, _: int) -> Module:
    tree = _WithoutComments().visit(ast.parse(path.read_bytes(), filename=str(path)))
    return Module(name, path.name == "__init__.py", tree)


class _WithoutComments(ast.NodeTransformer):
    """Takes away what changes no result: docstrings, and annotations except those of a class's fields."""

    _scope: ast.AST | None = None

    def _visit_scope(self, node: ast.Module | ast.ClassDef | Function) -> ast.AST:
        outer, self._scope = self._scope, node
        self.generic_visit(node)
        self._scope = outer
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        if not node.body and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]
        return node

    visit_Module = visit_ClassDef = _visit_scope  # noqa: N815 -- the names are ast's

    def visit_FunctionDef(self, node: Function) -> ast.AST:
        node.returns = None
        return self._visit_scope(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        if isinstance(self._scope, ast.ClassDef):
            return node
        return ast.Assign([node.target], node.value) if node.value else None


def _meaning(node: object) -> str:
    """A syntax tree as text that is the same in every version of Python that reads it."""
    if isinstance(node, ast.AST):
        parts = ((name, getattr(node, name, None)) for name in node._fields if name not in _NO_MEANING)
        told = ",".join(f"{name}={_meaning(part)}" for name, part in parts if part not in (None, []))
        return f"{type(node).__name__}({told})"
    if isinstance(node, list):
        return f"[{','.join(map(_meaning, node))}]"
    return f"{type(node).__name__}:{node!r}"


_NO_MEANING = ("ctx", "type_comment", "kind")


def _without_decorators(node: ast.stmt) -> ast.stmt:
    if not isinstance(node, Function):
        return node
    bare = copy(node)
    bare.decorator_list = []
    return bare


def _top_level(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """The statements of a module, those within `if`, `try` and `with` too; what only type checkers read is left out."""
    found: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, ast.If) and _dotted(statement.test)[-1:] == ("TYPE_CHECKING",):
            found += _top_level(statement.orelse)
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            blocks = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
            blocks += [handler.body for handler in getattr(statement, "handlers", [])]
            found += [inner for block in blocks for inner in _top_level(block)]
        else:
            found.append(statement)
    return found


def _names_bound(statement: ast.stmt) -> set[str]:
    """The names that a statement at the top level gives a value, or changes the value of."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    names: set[str] = set()
    for target in ast.walk(statement):
        if isinstance(getattr(target, "ctx", None), ast.Store):
            # REGISTRY["x"] = f changes REGISTRY
            owner = target.value if isinstance(target, ast.Subscript) else target
            names.update(_dotted(owner)[:1])
    return names


def _dotted_names(node: ast.AST) -> Iterator[tuple[str, ...]]:
    """Every name that is used, with the attributes taken of it: `a.b.c` is one."""
    dotted = _dotted(node)
    if dotted:
        yield dotted
        return
    for inner in ast.iter_child_nodes(node):
        yield from _dotted_names(inner)


def _dotted(node: ast.AST) -> tuple[str, ...]:
    """The names of `a.b.c`; empty for anything else."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return (node.id, *reversed(attributes)) if isinstance(node, ast.Name) else ()


def _parameters(node: ast.AST) -> set[str]:
    """The names of a function's parameters, which stand for nothing else in its body."""
    if not isinstance(node, Function):
        return set()
    arguments = node.args
    named = [
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    ]
    outside = [*node.decorator_list, *arguments.defaults, *filter(None, arguments.kw_defaults)]
    return {a.arg for a in named if a} - {dotted[0] for part in outside for dotted in _dotted_names(part)}


def _local_names(within: Sequence[ast.AST]) -> set[str]:
    """Names that one of these nodes gives a value."""
    stored = {node.id for node in within if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return stored | {node.arg for node in within if isinstance(node, ast.arg)}
