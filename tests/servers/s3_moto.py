"""The program that tests/servers/s3.py runs: moto's S3 and STS, and the verification of presigned URLs that moto lacks.

It prints the keys of its only user as a line of JSON when it is ready. botocore verifies the signatures.
"""

import hmac
import io
import json
import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

UNSIGNED_ACTIONS = 3
"""How many calls moto accepts before it verifies signatures: those that create the user of the tests."""
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = str(UNSIGNED_ACTIONS)

import boto3  # noqa: E402 (moto reads the variable when it is imported)
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth  # noqa: E402
from botocore.awsrequest import AWSRequest  # noqa: E402
from botocore.credentials import Credentials  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

REGION = "us-east-1"
ALLOW_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
FORM = "application/x-www-form-urlencoded"
MOMENT = "%Y%m%dT%H%M%SZ"

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def with_presigned_urls(application: Wsgi, keys: dict[str, str]) -> Wsgi:
    """Wrap the application: sign requests with a valid presigned URL for it, and reject invalid ones."""
    credentials = Credentials(keys.get("AccessKeyId"), keys.get("SecretAccessKey"))

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
        if "X-Amz-Signature" not in query:
            return application(environ, start_response)
        credentials.access_key, credentials.secret_key = keys["AccessKeyId"], keys["SecretAccessKey"]
        url = f"http://{environ['HTTP_HOST']}{environ['RAW_URI'].partition('?')[0]}"
        if not is_valid(credentials, environ, url, query):
            start_response("403 FORBIDDEN", [("content-type", "application/xml")])
            return [b"<Error><Code>SignatureDoesNotMatch</Code></Error>"]
        rest = {name: value for name, value in query.items() if not name.startswith("X-Amz-")}
        environ["QUERY_STRING"] = urlencode(rest, quote_via=quote)
        request = AWSRequest(environ["REQUEST_METHOD"], f"{url}?{environ['QUERY_STRING']}".rstrip("?"))
        request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
        S3SigV4Auth(credentials, "s3", REGION).add_auth(request)
        for name in ("Authorization", "X-Amz-Date", "X-Amz-Content-SHA256"):
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = request.headers[name]
        environ["RAW_URI"] = environ["REQUEST_URI"] = f"{url}?{environ['QUERY_STRING']}".rstrip("?")
        return application(environ, start_response)

    return serve


def with_web_identities(application: Wsgi, keys: dict[str, str]) -> Wsgi:
    """Wrap the application: sign AssumeRoleWithWebIdentity for it. Clients do not sign it, but moto requires it."""

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("CONTENT_TYPE") != FORM or "HTTP_AUTHORIZATION" in environ:
            return application(environ, start_response)
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = io.BytesIO(body)
        if b"AssumeRoleWithWebIdentity" in body:
            request = AWSRequest("POST", f"http://{environ['HTTP_HOST']}/", data=body)
            SigV4Auth(Credentials(keys["AccessKeyId"], keys["SecretAccessKey"]), "sts", REGION).add_auth(request)
            for name in ("Authorization", "X-Amz-Date"):
                environ[f"HTTP_{name.upper().replace('-', '_')}"] = request.headers[name]
        return application(environ, start_response)

    return serve


def is_valid(credentials: Credentials, environ: dict[str, Any], url: str, query: dict[str, str]) -> bool:
    """Return whether the signature is the user's for this request, and has not expired."""
    unsigned = {name: value for name, value in query.items() if name != "X-Amz-Signature"}
    request = AWSRequest(environ["REQUEST_METHOD"], f"{url}?{urlencode(unsigned, quote_via=quote)}")
    request.headers["host"] = environ["HTTP_HOST"]
    request.context["timestamp"] = query["X-Amz-Date"]
    auth = S3SigV4QueryAuth(credentials, "s3", REGION)
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    age = datetime.now(UTC) - datetime.strptime(query["X-Amz-Date"], MOMENT).replace(tzinfo=UTC)
    return hmac.compare_digest(signature, query["X-Amz-Signature"]) and age <= timedelta(
        seconds=int(query["X-Amz-Expires"])
    )


def new_user(url: str) -> dict[str, str]:
    iam = boto3.client(
        "iam", endpoint_url=url, aws_access_key_id="first", aws_secret_access_key="first", region_name=REGION
    )
    iam.create_user(UserName="tests")
    iam.put_user_policy(UserName="tests", PolicyName="all", PolicyDocument=json.dumps(ALLOW_ALL))
    key = iam.create_access_key(UserName="tests")["AccessKey"]
    return {name: key[name] for name in ("AccessKeyId", "SecretAccessKey")}


def main(port: int) -> None:
    from moto.moto_server import threaded_moto_server

    keys: dict[str, str] = {}
    application = threaded_moto_server.DomainDispatcherApplication
    threaded_moto_server.DomainDispatcherApplication = lambda create: with_web_identities(
        with_presigned_urls(application(create), keys), keys
    )
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    keys.update(new_user(f"http://127.0.0.1:{port}"))
    print(json.dumps(keys), flush=True)
    sys.stdin.read()  # until the tests close it, or end
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
