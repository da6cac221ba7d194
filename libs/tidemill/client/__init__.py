"""The Python SDK: publish datasets, follow runs, ask models. Speaks HTTP to the gateway and nothing else."""

from tidemill.client.gateway import NotReachable
from tidemill.client.live import LiveRun
from tidemill.client.platform import Platform, connect
from tidemill.client.run import Run, RunEvent, StillRunning

__all__ = ["LiveRun", "NotReachable", "Platform", "Run", "RunEvent", "StillRunning", "connect"]
