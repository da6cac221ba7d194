"""The bus: streams, the connection, CloudEvents, run states, leases, deployments, API keys."""

from tidemill.bus.access import AccessKeys
from tidemill.bus.cloudevents import MalformedEvent, parse_event
from tidemill.bus.connection import Bus
from tidemill.bus.deployments import DeploymentChange, Deployments
from tidemill.bus.leases import Lease, LeaseLost, Leases
from tidemill.bus.run_states import RunStates, RunStatus

__all__ = [
    "AccessKeys",
    "Bus",
    "DeploymentChange",
    "Deployments",
    "Lease",
    "LeaseLost",
    "Leases",
    "MalformedEvent",
    "RunStates",
    "RunStatus",
    "parse_event",
]
