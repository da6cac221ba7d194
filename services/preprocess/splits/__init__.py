"""Cuts a dataset into training, validation and test parts, without leakage and the same everywhere.

Rows that must not be in different parts are one *unit*: duplicates, near duplicates, rows of one group. A method gives
every unit a part, so that no way of cutting can tear one apart. Where a unit goes depends on its content, the sizes of
the labels and the seed, not on the order of rows, the machine or a random generator.

    cut(rows, split, given) -> Cut        parts for rows that came without, folds for those that train
"""

from services.preprocess.splits.cutting import Cut, Rows, cut
from services.preprocess.splits.units import PARTS

__all__ = ["PARTS", "Cut", "Rows", "cut"]
