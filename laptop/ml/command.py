"""The command line of a step: what its placeholders become."""

import re
from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\$\{\{\s*(inputs|outputs)\.([\w.]+?)\s*\}\}")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)


def render(template: str, *, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    """Fill in a component's command line.

    Values go in as they are, without quoting, as the service does it: the template puts quotes where it needs them.

    Args:
        template: The command, with ``${{inputs.x}}``, ``${{outputs.y}}`` and ``$[[optional parts]]``.
        inputs: A path or literal for each input that has a value.
        outputs: A path for each output.

    Raises:
        ValueError: A placeholder outside an optional part has no value.

    Example:
        >>> render("python a.py ${{inputs.x}} $[[--y ${{inputs.y}}]]", inputs={"x": "1"}, outputs={})
        'python a.py 1 '
    """
    values = {("inputs", name): value for name, value in inputs.items()}
    values |= {("outputs", name): value for name, value in outputs.items()}

    def kept(optional: re.Match[str]) -> str:
        part = optional.group(1)
        return part if all(found in values for found in _PLACEHOLDER.findall(part)) else ""

    def value(placeholder: re.Match[str]) -> str:
        kind, name = placeholder.groups()
        if (kind, name) not in values:
            raise ValueError(f"the command refers to {kind}.{name}, which has no value: {template}")
        return values[kind, name]

    return _PLACEHOLDER.sub(value, _OPTIONAL.sub(kept, template))
