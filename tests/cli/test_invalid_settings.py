"""Every wrong value ends `railtrack server` with exit code 1 and one line that names the variable and the next step."""

from pathlib import Path

import pytest
from tests.servers.railtrack import command

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "do-not-show"}
ON_S3 = {"MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://vision-platform-prod", **KEYS}
ACCOUNT = "https://0123abcd.r2.cloudflarestorage.com"

WRONG = [
    ({"MLFLOW_PORT": "5000/tcp"}, "Invalid port in MLFLOW_PORT: '5000/tcp'. Use a number from 1 to 65535."),
    ({"MLFLOW_PORT": "${PORT}"}, "MLFLOW_PORT: the reference ${PORT} was not resolved. Check its spelling"),
    ({"PORT": "$(PORT)"}, "PORT: the reference $(PORT) was not resolved."),
    ({"RAILTRACK_METRICS_TOKEN": "short"}, "Invalid token in RAILTRACK_METRICS_TOKEN. Use at least 16 letters"),
    ({"PORT": "0"}, "Invalid port in PORT: '0'. Use a number from 1 to 65535."),
    ({"MLFLOW_HOST": "http://0.0.0.0"}, "Invalid host in MLFLOW_HOST: 'http://0.0.0.0'. Use an address"),
    (
        {"MLFLOW_HOST": "0.0.0.0:5000"},
        "Invalid host in MLFLOW_HOST: '0.0.0.0:5000'. Use the address alone",
    ),
    ({"MLFLOW_HOST": '"0.0.0.0'}, "Invalid host in MLFLOW_HOST: '\"0.0.0.0'. Use an address"),
    ({"MLFLOW_HOST": "no.such.host.invalid"}, "MLFLOW_HOST: cannot listen on no.such.host.invalid ("),
    ({"GUNICORN_WORKERS": "two"}, "Invalid number of workers in GUNICORN_WORKERS: 'two'. Use a number from 1 to 64."),
    ({"GUNICORN_THREADS": "100"}, "Invalid number of threads in GUNICORN_THREADS: '100'. Use a number from 1 to 64."),
    (
        {"RAILTRACK_AUTH": "on", "MLFLOW_AUTH_ADMIN_PASSWORD": "too short"},
        "MLFLOW_AUTH_ADMIN_USERNAME, MLFLOW_AUTH_ADMIN_PASSWORD: Password must be at least 12 characters.",
    ),
    (
        {"RAILTRACK_AUTH": "on", "RAILTRACK_AUTH_PASSWORD_FILE": "/proc/password"},
        "RAILTRACK_AUTH_PASSWORD_FILE: cannot write '/proc/password': ",
    ),
    (
        {"MLFLOW_BACKEND_STORE_URI": "${{Postgres.DATABASE_URL}}"},
        "MLFLOW_BACKEND_STORE_URI: the reference ${{Postgres.DATABASE_URL}} was not resolved. Check its spelling",
    ),
    (
        {"DATABASE_URL": "postgresql://me:do-not-show@${{Postgres.PGHOST}}:5432/railway"},
        "DATABASE_URL: the reference ${{Postgres.PGHOST}} was not resolved.",
    ),
    (
        {"MLFLOW_BACKEND_STORE_URI": "", "RAILWAY_PROJECT_ID": "1a2b"},
        "MLFLOW_BACKEND_STORE_URI is empty: the reference in it, such as ${{Postgres.DATABASE_URL}}, was not resolved.",
    ),
    ({"DATABASE_URL": "mysql://me:do-not-show@host/db"}, "MLFLOW_BACKEND_STORE_URI (or DATABASE_URL): MySQL is not"),
    ({"DATABASE_URL": "postgres://me:do-n@t-show@host/db"}, "the password have to be percent-encoded (@ as %40)."),
    ({"DATABASE_URL": "postgres://me@host/db?ssl_mode=x"}, "the option 'ssl_mode' is not supported; leave it out."),
    (
        {"DATABASE_URL_FILE": "/no/such/file"},
        "DATABASE_URL_FILE: cannot read the file '/no/such/file'",
    ),
    (
        {**ON_S3, "AWS_S3_ENDPOINT_URL": "minio:9000"},
        "Invalid URL in AWS_S3_ENDPOINT_URL: 'minio:9000'. Add the",
    ),
    (
        {**ON_S3, "AWS_S3_ENDPOINT_URL": "s3.example.com"},
        "Invalid URL in AWS_S3_ENDPOINT_URL: 's3.example.com'. Add",
    ),
    (
        {**ON_S3, "AWS_S3_ENDPOINT_URL": f"{ACCOUNT}/vision-platform-prod"},
        f"/vision-platform-prod'. Set it to {ACCOUNT}, and name the bucket in an artifact location",
    ),
    (
        {**ON_S3, "AWS_S3_ENDPOINT_URL": "https://<account_id>.r2.cloudflarestorage.com"},
        "Invalid URL in AWS_S3_ENDPOINT_URL: 'https://<account_id>.r2.cloudflarestorage.com'. Use a URL",
    ),
    (
        {**ON_S3, "AWS_S3_ENDPOINT_URL": "https://host:port"},
        "Invalid URL in AWS_S3_ENDPOINT_URL: 'https://host:port'. Check",
    ),
    ({**ON_S3, "AWS_ACCESS_KEY_ID": "<R2_ACCESS_KEY_ID>"}, "AWS_ACCESS_KEY_ID: <R2_ACCESS_KEY_ID> is a placeholder."),
    ({**ON_S3, "AWS_SECRET_ACCESS_KEY": " "}, "Unable to locate credentials: AWS_SECRET_ACCESS_KEY is not set."),
    ({"MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://vision-platform-prod"}, "Unable to locate credentials: an s3:// location"),
    ({**ON_S3, "MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://"}, "does not name a bucket: s3://bucket/prefix."),
    ({"MLFLOW_ARTIFACTS_DESTINATION": "gs://bucket"}, "MLFLOW_ARTIFACTS_DESTINATION: Artifact store 'gs': support"),
]


@pytest.mark.parametrize(("environ", "message"), WRONG, ids=[message for _, message in WRONG])
def test_an_invalid_value_ends_the_start_with_one_line(environ: dict[str, str], message: str, tmp_path: Path) -> None:
    done = command(tmp_path, "server", **environ)
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert message in line
    assert line == done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr + done.stdout
    assert "do-n" not in done.stderr + done.stdout
