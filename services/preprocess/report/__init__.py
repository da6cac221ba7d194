"""The data report: what came in, what was done to it, what is left. JSON for machines, one HTML page for people.

Made by a job of its own behind the preparation, since it alone looks at the version before.
"""
