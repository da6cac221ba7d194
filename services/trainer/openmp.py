"""How OpenMP's threads wait, decided before torch loads it: first in ``Stage.preload``. Acts when it is imported.

By default a thread that waits for its siblings spins for milliseconds. When something else runs on the same cores (the
compressor, a gateway) the spinning takes the time that the siblings need. Threads that sleep at once pay for every
wake-up instead. A short spin does well in both: a training step of MiniLM on two cores took 0.53, 0.81 and 0.58 s
(default, asleep at once, short spin; medians) alone, and 1.1, 0.91 and 0.55 s beside one busy process.
"""

from __future__ import annotations

import os

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "100000")
