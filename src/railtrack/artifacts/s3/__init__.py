"""Artifacts in S3 and S3-compatible stores. Imported only when an s3:// location is configured."""
