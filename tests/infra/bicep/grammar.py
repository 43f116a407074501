"""Whether a text is Bicep to tree-sitter's grammar; its trees bind `.` looser than `==`, so no more is asked."""

import tree_sitter_bicep
from tree_sitter import Language, Parser

PARSER = Parser(Language(tree_sitter_bicep.language()))


def is_bicep(text: str) -> bool:
    """Whether the grammar takes the whole text."""
    return not PARSER.parse(text.encode()).root_node.has_error
