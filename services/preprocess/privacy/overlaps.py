"""Which of several findings at one place stands. Knows numbers alone."""

from __future__ import annotations

Found = tuple[int, int, int, int, int]
"""Row, first character, the one behind the last, how sure it is, rank of its kind (the most specific has 0)."""


def resolved(found: list[Found]) -> list[Found]:
    """The findings in the order of rows and places; of those that overlap the longest stands, then the surest, then
    the one of the most specific kind."""
    found.sort()
    kept: list[Found] = []
    cluster: list[Found] = []
    row = end = -1
    for one in found:
        if one[1] >= end or one[0] != row:
            kept += cluster if len(cluster) < 2 else _best(cluster)
            cluster = [one]
            row, end = one[0], one[2]
        else:
            cluster.append(one)
            end = max(end, one[2])
    return kept + (cluster if len(cluster) < 2 else _best(cluster))


def _best(cluster: list[Found]) -> list[Found]:
    chosen: list[Found] = []
    for one in sorted(cluster, key=lambda one: (one[1] - one[2], -one[3], one[4])):
        if all(one[2] <= other[1] or one[1] >= other[2] for other in chosen):
            chosen.append(one)
    return sorted(chosen)
