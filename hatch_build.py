"""Compiled wheels: with PORTICO_COMPILED=1 a wheel holds the data path as C too, made by mypyc from the same source.

A wheel without it is the source alone, and runs everywhere. `[tool.portico.compiled]` in pyproject.toml lists the
modules; `make compiled` builds such a wheel for this machine's interpreter and puts it into build/compiled.
"""

import os
import re
import shutil
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
SOURCE = ROOT / "src"
INTERPRETED = re.compile(r"^class \w+\(.*\bStruct\b|^ *async def ", re.MULTILINE)
"""What msgspec reads as classes, and what awaits: coroutines made by mypyc are not sound when they are cancelled."""
COLD = """\
#include <CPy.h>
__typeof__(CPy_AddTraceback) CPy_AddTraceback __attribute__((cold));
__typeof__(CPy_TypeErrorTraceback) CPy_TypeErrorTraceback __attribute__((cold));
__typeof__(CPy_AttributeError) CPy_AttributeError __attribute__((cold));
"""
"""What comes before every file: a third of what mypyc writes is for errors, and begins with one of these. The compiler
puts that elsewhere, so that what runs lies together and stays near the processor: a twentieth of a call."""
WITHIN = ["-fno-semantic-interposition", "-fno-plt"]
"""Nobody puts a function of ours in another's place: they call each other without asking the linker where."""
TOOLS = ["mypy[mypyc]>=2.4", "setuptools>=80"]


class CompiledHook(BuildHookInterface):  # type: ignore[type-arg, misc]
    """Adds what mypyc makes of the listed modules to a wheel."""

    PLUGIN_NAME = "custom"
    _work: Path | None = None

    def dependencies(self) -> list[str]:
        """Return what a build needs besides hatchling: the compiler reads the types of what is imported."""
        return [*TOOLS, *self.metadata.core.dependencies] if _wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless the wheel is to hold the source alone."""
        if not _wanted() or version == "editable":
            return
        self._work = Path(tempfile.mkdtemp(prefix="portico-compiled-"))
        made = compiled(listed(), self._work)
        build_data["force_include"].update({str(path): str(path.relative_to(self._work / "lib")) for path in made})
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what is in the wheel now."""
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)


def _wanted() -> bool:
    return os.environ.get("PORTICO_COMPILED") == "1"


def listed() -> list[str]:
    """Return the modules to compile, as paths from the source folder."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        terms = tomllib.load(file)["tool"]["portico"]["compiled"]
    chosen = matching(terms["modules"]) - matching(terms["but"])
    return sorted(
        str(path.relative_to(SOURCE))
        for path in chosen
        if path.name != "__init__.py" and not INTERPRETED.search(path.read_text())
    )


def matching(patterns: list[str]) -> set[Path]:
    """Return the modules that patterns name; `{a,b}` in one stands for either. Raises LookupError for none."""
    found: set[Path] = set()
    for pattern in patterns:
        before, brace, rest = pattern.partition("{")
        names, _, after = rest.partition("}")
        for name in names.split(",") if brace else [""]:
            these = set(SOURCE.glob(f"portico/{before}{name}{after}"))
            if not these:
                raise LookupError(f"pyproject.toml, tool.portico.compiled: no module is {before}{name}{after}")
            found |= these
    return found


def compiled(modules: list[str], work: Path) -> list[Path]:
    """Compile modules into one library in `work`, with a small one for each that leads there; return all of them."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    os.environ["MYPYPATH"] = "."
    before = Path.cwd()
    os.chdir(SOURCE)  # a module's name is its path from here
    try:
        terms = [f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={work / 'types'}", "--follow-imports=silent"]
        extensions = mypycify(
            [*terms, *modules],
            opt_level="2",
            debug_level="0",
            multi_file=True,
            group_name="portico",
            target_dir=str(work / "source"),
        )
        cold = work / "cold.h"
        cold.write_text(COLD)
        [library] = [each for each in extensions if each.name.endswith("__mypyc")]
        library.extra_compile_args = [*library.extra_compile_args, "-include", str(cold)]
        if sys.platform == "linux":
            library.extra_compile_args += WITHIN
            library.extra_link_args = ["-Wl,-Bsymbolic"]
        command = build_ext(Distribution({"name": "portico", "ext_modules": extensions}))
        command.build_lib, command.build_temp = str(work / "lib"), str(work / "objects")
        command.ensure_finalized()
        _on_all_cores(command)
        command.run()
    finally:
        os.chdir(before)
    return sorted((work / "lib").rglob("*.so"))


def _on_all_cores(command: Any) -> None:
    """Let the files of one library be compiled beside each other: setuptools takes them in turn."""
    build = command.build_extensions

    def build_extensions() -> None:
        compiler = command.compiler

        def compile_all(sources: list[str], output_dir: str | None = None, *rest: Any, **how: Any) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count() or 1) as cores:
                made = cores.map(lambda source: one([source], output_dir, *rest, **how), sources)
                return [path for paths in made for path in paths]

        one, compiler.compile = compiler.compile, compile_all
        build()

    command.build_extensions = build_extensions
