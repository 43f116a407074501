"""What a loop's files look like, as the loop says it: the input `schema` of every step that reads them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

Kind = Literal["number", "category"]

DAY, SEGMENT = "@day", "@segment"  # what prepare adds to the rows; no column of a loop file is spelled like this


@dataclass(frozen=True, slots=True)
class Schema:
    """A loop's columns.

    Args:
        label: The column to predict: true or false.
        features: Name -> kind, in the order in which a model takes them.
        segment: What the held-out loss is split by: a field of the manifest's entries, such as "site".
        pairs: Features, two numbers each, whose relation is watched on the devices.
        contexts: Features, or the segment, for whose values the profile keeps a reference each.
    """

    label: str
    features: dict[str, Kind]
    segment: str
    pairs: tuple[tuple[str, str], ...] = ()
    contexts: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """What a landed file must have."""
        return [*self.features, self.label]

    def to_json(self) -> str:
        """The text that from_json reads."""
        features = [{"name": name, "kind": kind} for name, kind in self.features.items()]
        watched = {"pairs": self.pairs, "contexts": self.contexts}
        return json.dumps({"label": self.label, "features": features, "segment": self.segment, **watched})

    @staticmethod
    def from_json(text: str) -> "Schema":
        """Read `{"label": "late", "features": [{"name": "temp", "kind": "number"}, ...], "segment": "site"}`.

        Beside these, `"pairs": [["temp", "dewp"]]` and `"contexts": ["hour"]` may say what a profile has to keep.

        Raises:
            SystemExit: It is something else; the message says what.
        """
        try:
            content = json.loads(text)
            features = {feature["name"]: feature["kind"] for feature in content["features"]}
            pairs = tuple((left, right) for left, right in content.get("pairs", ()))
            contexts = tuple(content.get("contexts", ()))
            schema = Schema(content["label"], cast("dict[str, Kind]", features), content["segment"], pairs, contexts)
        except (ValueError, KeyError, TypeError) as problem:
            raise SystemExit(f"the schema is not usable: {problem!r}; give label, features and segment") from problem
        if (
            not features
            or not set(features.values()) <= {"number", "category"}
            or len(content["features"]) > len(features)
        ):
            raise SystemExit("the schema is not usable: it needs features, each once, each a number or a category")
        if schema.label in features:
            raise SystemExit(f"the schema is not usable: {schema.label!r} is a feature and the label")
        return schema


def read_schema(data: Path) -> Schema:
    """Read the schema that prepare left beside the rows."""
    return Schema.from_json((data / "schema.json").read_text())
