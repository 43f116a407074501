"""What a model was trained on, as counts on fixed grids: the reference that every later sketch is compared with."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from hashlib import sha256

from sketch.blocks import Blocks
from sketch.building import Draft, Kind, Pair, Tally, draft
from sketch.calibration import Calibration
from sketch.features import CategoryFeature, Column, Feature, NumberFeature, PairFeature
from sketch.reading import LONGEST_JSON, VERSION, read_blocks

__all__ = ["Draft", "Kind", "Pair", "Profile", "Tally"]


class Profile(Blocks):
    """The reference distribution of a model's features and scores. It travels with the model.

    Two profiles are equal when their hashes are.
    """

    @staticmethod
    def build(
        columns: Mapping[str, Column],
        *,
        kinds: Mapping[str, Kind],
        scores: Column,
        pairs: Sequence[Pair] = (),
        contexts: Sequence[str] = (),
        sequences: Column | None = None,
    ) -> "Profile":
        """Count a reference data set that fits into memory.

        Args:
            columns: Values per feature and context column, each of shape (rows,). A number is a float, NaN or None when
                missing; a category is a str, None when missing. A context column holds text or whole numbers. Others
                are ignored.
            kinds: The features and what they are, in the order of the model's signature.
            scores: What the model answered for these rows, shape (rows,).
            pairs: Features, two numbers each, that are watched together.
            contexts: Columns whose values make a context, such as hour and site.
            sequences: Which site or device each row is of, shape (rows,); the rows of one are in order. None when all
                are of one. Only the autocorrelation is about the order.

        Raises:
            ValueError: No row, no feature, a column that is absent, of another length or not of its kind, a pair that
                is none, a context of broken numbers.
        """
        drafted = draft(columns, kinds=kinds, scores=scores, pairs=pairs, contexts=contexts)
        return Profile.finished(drafted, drafted.tally(columns, scores, sequences=sequences))

    draft = staticmethod(draft)

    @staticmethod
    def finished(draft: Draft, counted: Tally) -> "Profile":
        """The profile of all rows that were counted on a draft's grids.

        Args:
            draft: What was counted on.
            counted: All rows of the reference; those that the draft was made from are among them.

        Raises:
            ValueError: Not one row was counted, or not those of the sample.
        """
        return _profile(draft.finished(counted))

    def calibrated(self, calibration: Calibration | None) -> "Profile":
        """The same profile with what answers cost on held-out rows."""
        return _profile(replace(self, calibration=calibration))

    def to_json(self) -> str:
        """The canonical text: equal profiles have equal texts, and `hash` is computed from it.

        Raises:
            ValueError: It would be longer than any reader takes.
        """
        text = self._text()
        if len(text) > LONGEST_JSON:
            raise ValueError(
                f"the profile would have {len(text):,} characters, and no reader takes more than {LONGEST_JSON:,}: "
                "watch fewer features, or fewer contexts"
            )
        return text

    def _text(self) -> str:
        content = {
            "version": VERSION,
            "rows": self.rows,
            "features": [_feature_to_dict(feature) for feature in self.features],
            "pairs": [_feature_to_dict(pair) for pair in self.pairs],
            "scores": _feature_to_dict(self.scores),
            "contexts": asdict(self.contexts) if self.contexts else None,
            "calibration": self.calibration.to_dict() if self.calibration else None,
        }
        return json.dumps(content, separators=(",", ":"), ensure_ascii=True, allow_nan=False)

    @staticmethod
    def from_json(text: str) -> "Profile":
        """Read what `to_json` wrote.

        Raises:
            ValueError: Anything unsound: not JSON, another version, a grid without width, counts that do not add up.
        """
        return _profile(read_blocks(text))

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal characters that name this profile: the start of the SHA-256 of its canonical text."""
        return sha256(self._text().encode()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self.hash == other.hash

    def __hash__(self) -> int:
        return int(self.hash, 16)


def _profile(blocks: Blocks) -> Profile:
    return Profile(blocks.rows, blocks.features, blocks.scores, blocks.pairs, blocks.contexts, blocks.calibration)


def _feature_to_dict(feature: Feature) -> dict[str, object]:
    kind = {PairFeature: "pair", NumberFeature: "number", CategoryFeature: "category"}[type(feature)]
    return {"kind": kind, **asdict(feature)}
