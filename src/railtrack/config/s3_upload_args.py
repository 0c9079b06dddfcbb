"""MLFLOW_S3_UPLOAD_EXTRA_ARGS: arguments of boto3's uploads as JSON, parsed to the headers that they stand for."""

import json
from typing import Any

from railtrack.config.parsers import InvalidValue

_HEADERS = {
    "ACL": "x-amz-acl",
    "BucketKeyEnabled": "x-amz-server-side-encryption-bucket-key-enabled",
    "CacheControl": "cache-control",
    "ContentDisposition": "content-disposition",
    "ContentEncoding": "content-encoding",
    "ContentLanguage": "content-language",
    "ContentType": "content-type",
    "Expires": "expires",
    "GrantFullControl": "x-amz-grant-full-control",
    "GrantRead": "x-amz-grant-read",
    "GrantReadACP": "x-amz-grant-read-acp",
    "GrantWriteACP": "x-amz-grant-write-acp",
    "ObjectLockLegalHoldStatus": "x-amz-object-lock-legal-hold",
    "ObjectLockMode": "x-amz-object-lock-mode",
    "ObjectLockRetainUntilDate": "x-amz-object-lock-retain-until-date",
    "SSEKMSEncryptionContext": "x-amz-server-side-encryption-context",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "StorageClass": "x-amz-storage-class",
    "Tagging": "x-amz-tagging",
    "WebsiteRedirectLocation": "x-amz-website-redirect-location",
}
"""Arguments that concern the creation of an object only. Others, such as a customer's key, every request would need."""


def headers(value: str) -> tuple[tuple[str, str], ...]:
    """Return the headers, by name, of requests that create an object."""
    if not value:
        return ()
    try:
        arguments = json.loads(value)
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise InvalidValue("JSON object", """Use a value such as {"ServerSideEncryption": "aws:kms"}.""")
    resolved: dict[str, str] = {}
    for name, argument in arguments.items():
        if name == "Metadata" and isinstance(argument, dict):
            resolved |= {f"x-amz-meta-{key.lower()}": _text(key, text) for key, text in argument.items()}
        elif name in _HEADERS:
            resolved[_HEADERS[name]] = _text(name, argument)
        else:
            supported = ", ".join([*_HEADERS, "Metadata"])
            raise InvalidValue("argument", f"{name!r} is not supported. Supported are {supported}.")
    return tuple(resolved.items())


def _text(name: str, argument: Any) -> str:
    text = str(argument).lower() if isinstance(argument, bool) else argument
    if not isinstance(text, str) or not text or not text.isascii() or not text.isprintable():
        raise InvalidValue("argument", f"{name!r} needs a text of printable ASCII characters.")
    return text
