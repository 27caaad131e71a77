"""Writes an imported configuration as a YAML file, with what is not carried over in its head."""

from decimal import Decimal
from math import isfinite
from pathlib import PurePath
from typing import Any

import yaml

from portico.config.document import Node, Scalar, Series
from portico.config.litellm.convert import Imported
from portico.config.litellm.values import decimal_text


def render(imported: Imported) -> str:
    """Return the new configuration's file. Keys that stood in the old file in clear stand in this one too."""
    lines = [f"# Imported from litellm's {PurePath(imported.files[0]).name}. Check it with `portico check`."]
    if imported.left_out:
        lines += ["#", "# Not carried over, or worth a look (by line of the old file):"]
        for problem in imported.left_out:
            where = f"{PurePath(problem.place.file).name}:{problem.place.line}"
            lines.append(f"#   {where} {problem.path}: {problem.message}")
    parts = [_dump({key: _plain(node)}) for key, node in imported.root.rows.items()]
    return "\n\n".join(["\n".join(lines), *(part.rstrip("\n") for part in parts)]) + "\n"


def _dump(data: Any) -> str:
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=4096, default_flow_style=False)


class _Dumper(yaml.SafeDumper):
    """Indents lists below their key, and never writes aliases."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        return True


def _plain(node: Node) -> Any:
    if isinstance(node, Scalar):
        if not node.plain:
            return node.text
        if node.text in ("true", "false"):
            return node.text == "true"
        try:
            return int(node.text)
        except ValueError:
            pass
        try:
            number = float(node.text)
        except ValueError:
            return node.text
        same = repr(number) == node.text or (isfinite(number) and decimal_text(Decimal(repr(number))) == node.text)
        return number if same else node.text
    if isinstance(node, Series):
        return [_short(item) for item in node.items]
    return {key: _plain(item) for key, item in node.rows.items()}


def _short(node: Node) -> Any:
    plain = _plain(node)
    return plain["model"] if isinstance(plain, dict) and list(plain) == ["model"] else plain
