"""How OpenMP's threads wait, decided before torch loads it: first in ``Stage.preload``. Acts when it is imported.

By default a thread that waits for its siblings spins. When something else runs on the same cores (a second fold, the
compressor, a gateway) the spinning takes the time that the siblings need: a step of MiniLM took 4.2 s of wall time
beside two busy processes on two cores, and 1.0 to 1.6 s with threads that sleep.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
