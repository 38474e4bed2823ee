"""The kernel as machine code: compiled once, kept in a file, loaded without numba.

numba is needed only where no file fits: it compiles in a process of its own, for a level of CPUs rather than for the
CPU at hand. An image is built with files for all levels, and each node loads the best that it can run. Loading takes
llvmlite alone, a quarter of numba's time and memory.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import logging
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DIGEST_BYTES = 32
_HERE = Path(__file__).resolve().parent
# Instructions that every CPU of a level has, the best level first. The last of the first level is none of its own: CPUs
# without it have registers of 64 bytes too, and slow down when these are used.
_LEVELS = {
    "x86-64-v4": ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512vbmi"),
    "x86-64-v3": ("avx2", "bmi", "bmi2", "fma", "lzcnt", "movbe", "popcnt"),
    "x86-64-v2": ("popcnt", "sse4.2"),
    "x86-64": ("sse2",),
}
# where numba knows no such levels
ANY_CPU = "generic"
NOWHERE = "no folder to keep it in can be written"
_TUNING = {"x86-64-v4": "-prefer-256-bit"}

Work = Callable[[int, int, int], None]
"""Calls the kernel: what to do, the address of the store's words, the address of the block's words."""


class NoKernel(Exception):
    """The kernel can be neither loaded nor compiled here; the message says why."""


def load() -> Work:
    """The kernel, from a file that fits or compiled now; raises NoKernel, also each further time."""
    found = _load_once()
    if isinstance(found, NoKernel):
        raise found
    return found


@cache
def _load_once() -> Work | NoKernel:
    try:
        levels = _levels()
        if not levels:
            raise NoKernel("this CPU has the instructions of none of the levels that it is compiled for")
        for level in levels:
            if (code := _kept_code(level)) is not None:
                return _loaded(code or _compiled(level))
        return _loaded(_compiled(levels[0]))
    except NoKernel as missing:
        return missing


def _compiled(level: str) -> bytes:
    """The code for a level, compiled now and kept if it can be."""
    code = compile_apart(level)
    if not _keep(level, code):
        logging.getLogger(__name__).warning(f"the log kernel was compiled for this process alone: {NOWHERE}")
    return code


def compile_apart(level: str) -> bytes:
    """The name of the kernel's function, a newline, and the object file, made in another process; raises NoKernel."""
    target = {"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": _TUNING.get(level, "")}
    variables = {**os.environ, **target, "NUMBA_DISABLE_JIT": "0"}
    command = [
        sys.executable,
        "-c",
        f"from {__package__}.object_code import {write.__name__} as write; write()",
    ]
    done = subprocess.run(command, env=variables, cwd=_HERE.parents[2], capture_output=True, check=False)
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise NoKernel(f"the kernel could not be compiled: {last or f'exit status {done.returncode}'}")
    return done.stdout


def write() -> None:
    """Compile for the CPU that numba's variables name, and write what `compile_apart` returns to standard output."""
    from numba import njit, types

    from photo_popularity.domain.log_kernel import kernel

    words = types.CPointer(types.int64)
    # what calls it is no Python object, so wrappers for those would only bring in the interpreter's symbols
    options = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    function = njit(types.int64(types.int64, words, words), **options)(kernel.work)
    (compiled,) = function.overloads.values()
    library = compiled.library
    declared = [one.name for one in library._final_module.functions if one.is_declaration]
    if outside := [name for name in declared if not name.startswith("llvm.")]:
        sys.exit(f"it calls {', '.join(outside)}, which stand nowhere once it is alone")
    sys.stdout.buffer.write(compiled.fndesc.llvm_func_name.encode() + b"\n" + library._get_compiled_object())


def _loaded(code: bytes) -> Work:
    from llvmlite import binding as llvm

    name, _, object_file = code.partition(b"\n")
    engine = llvm.create_mcjit_compiler(
        llvm.parse_assembly(""), llvm.Target.from_default_triple().create_target_machine()
    )
    engine.add_object_file(llvm.ObjectFileRef.from_data(object_file))
    engine.finalize_object()
    # numba's own calling convention: places for the result and for an exception come before the arguments
    prototype = ctypes.CFUNCTYPE(
        ctypes.c_int32, *[ctypes.c_void_p] * 2, ctypes.c_int64, *[ctypes.c_void_p] * 2
    )
    function = prototype(engine.get_function_address(name.decode()))
    result, exception = ctypes.c_int64(), ctypes.c_void_p()
    places = ctypes.addressof(result), ctypes.addressof(exception)

    def work(operation: int, store: int, block: int, *, _alive: object = (engine, result, exception)) -> None:
        function(*places, operation, store, block)

    return work


def _levels() -> list[str]:
    """The levels whose code this CPU can run, the best first."""
    try:
        from llvmlite import binding as llvm
    except ImportError as error:
        raise NoKernel(f"llvmlite is not installed ({error})") from error
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    if not llvm.get_process_triple().startswith("x86_64"):
        return [ANY_CPU]
    features = llvm.get_host_cpu_features()
    # a CPU of a level has the instructions of all levels below it
    able: list[str] = []
    for level, needed in reversed(_LEVELS.items()):
        if not all(features.get(name) for name in needed):
            break
        able.insert(0, level)
    return able


def _file_name(level: str) -> str:
    """A name that another source, another numba or another kind of machine does not have."""
    digest = hashlib.sha256()
    for source in sorted(_HERE.glob("*.py")):
        digest.update(source.read_bytes())
    try:
        digest.update(f"{version('numba')} {version('llvmlite')}".encode())
    except PackageNotFoundError as error:
        raise NoKernel(f"{error.name} is not installed") from error
    return f"log_kernel.{sysconfig.get_platform()}.{level}.{digest.hexdigest()[:16]}.o"


def _folders() -> Iterator[Path]:
    yield _HERE / "__pycache__"
    if cache_home := os.environ.get("XDG_CACHE_HOME"):
        yield Path(cache_home) / "photo-popularity"
        return
    # a user without a home has no such folder
    with suppress(RuntimeError):
        yield Path.home() / ".cache" / "photo-popularity"


def _kept_code(level: str) -> bytes | None:
    """The code that is kept for a level; None where none is, nothing where it is damaged: it would end the process."""
    name, code = _file_name(level), None
    for folder in _folders():
        try:
            kept = (folder / name).read_bytes()
        except OSError:
            continue
        code = kept[DIGEST_BYTES:]
        if kept[:DIGEST_BYTES] == _digest(code):
            return code
        code = b""
    return code


def _digest(code: bytes) -> bytes:
    return hashlib.sha256(code).digest()


def _keep(level: str, code: bytes) -> bool:
    """Keep the code for the next process, in the first folder where this user may write; False where there is none."""
    name = _file_name(level)
    for folder in _folders():
        aside = folder / f".{name}.{os.getpid()}"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            aside.write_bytes(_digest(code) + code)
            aside.replace(folder / name)
            return True
    return False


def main() -> None:
    """Compile the kernel now, so that no run has to: for installations, and for images."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}.object_code", description=main.__doc__)
    parser.add_argument("--every-level", action="store_true", help="for every node that an image may run on")
    every_level: bool = parser.parse_args().every_level
    try:
        levels = _levels()
        for level in _LEVELS if every_level and levels != [ANY_CPU] else levels[:1]:
            if not _kept_code(level) and not _keep(level, compile_apart(level)):
                sys.exit(f"The log kernel was compiled, and every process would compile it anew: {NOWHERE}")
        load()
    except NoKernel as missing:
        sys.exit(f"Logs are scanned without the compiled kernel, some thirty times slower: {missing}")


if __name__ == "__main__":
    main()
