"""What a service does at once when something was erased: drop it from its cache, and blot it out of its own logs.

One that does not hear of it drops it from its cache at its next start, or when it next puts something or misses
something. Its logs keep what they say, as far as they say anything: that a person is named in them is rare.
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

from nats.aio.msg import Msg

from tidemill.artifacts import ObjectArtifactStore
from tidemill.bus import Bus
from tidemill.bus.subjects import ERASED
from tidemill.erasure.logs import blot_out
from tidemill.erasure.requests import PendingErasures
from tidemill.erasure.subject import matcher
from tidemill.errors import TidemillError

log = logging.getLogger(__name__)

FOLDERS = ("telemetry", "logs")
"""Below the data folder: lines of text, of this machine alone."""


async def forget_erased(bus: Bus, store: ObjectArtifactStore, data_dir: Path) -> None:
    """Listen, from now on, to what is erased.

    Raises:
        TransientError: the bus is not connected.
    """

    async def on_message(message: Msg) -> None:
        try:
            told = json.loads(message.data)
            dropped = await store.drop_erased()
            request = await PendingErasures(store.objects).request(told["project"], told["erasure"])
            blotted = 0
            if request is not None:
                known = matcher(request.subject, request.kind)
                for folder in FOLDERS:
                    blotted += await asyncio.to_thread(blot_out, data_dir / folder, known)
            log.info("erasure %s: %d files dropped from the cache, %d lines blotted", told["erasure"], dropped, blotted)
        except (ValueError, KeyError, TypeError):
            log.warning("what %s says is no erasure", ERASED)
        except TidemillError as error:
            log.warning("what was erased stays in the cache until the next look: %s", error)

    await bus.client.subscribe(ERASED, cb=on_message)
