"""What is wrong with a platform and what to do: small checks that run side by side and never hang their caller."""

from tidemill.doctor.examination import Report, diagnose
from tidemill.doctor.findings import Finding, State
from tidemill.doctor.site import Site

__all__ = ["Finding", "Report", "Site", "State", "diagnose"]
