"""A real S3 server in this process, as far as moto is one."""

from tidemill.testing.s3 import bucket, s3, s3_endpoint  # noqa: F401
