"""The settings of artifact stores. The other groups, and how they are combined: settings.py."""

from dataclasses import dataclass

from railtrack.config import parsers, s3_upload_args
from railtrack.config.lookup import setting


@dataclass(frozen=True, slots=True)
class ArtifactSettings:
    default_root: str = setting(
        "MLFLOW_DEFAULT_ARTIFACT_ROOT",
        flags=("--default-artifact-root",),
        parse=parsers.artifact_location,
        default="mlflow-artifacts:/",
        help="The URI under which new experiments store artifacts. With `mlflow-artifacts:/`, clients upload and "
        "download through the server and need no credentials.",
    )
    destination: str = setting(
        "MLFLOW_ARTIFACTS_DESTINATION",
        flags=("--artifacts-destination",),
        parse=parsers.artifact_location,
        default="",
        help="Where the server stores `mlflow-artifacts:`: a folder or `s3://bucket/prefix`. "
        "Default: `mlartifacts` in the data folder.",
    )
    is_served: bool = setting(
        "MLFLOW_SERVE_ARTIFACTS",
        switches={"--serve-artifacts": "true", "--no-serve-artifacts": "false"},
        parse=parsers.boolean,
        default="true",
        help="Whether clients store and read artifacts of `mlflow-artifacts:` through the server. With `false`, "
        "`MLFLOW_DEFAULT_ARTIFACT_ROOT` is required.",
    )
    is_alone: bool = setting(
        "MLFLOW_ARTIFACTS_ONLY",
        switches={"--artifacts-only": "true"},
        parse=parsers.boolean,
        default="false",
        help="`true` serves artifacts only: all other endpoints report that they are disabled.",
    )
    is_presigned_only: bool = setting(
        "MLFLOW_ARTIFACTS_PRESIGNED_ONLY",
        switches={"--artifacts-presigned-only": "true"},
        parse=parsers.boolean,
        default="false",
        help="`true`: no file passes through the server. Clients, 3.18 or newer, transfer all artifacts by presigned "
        "URLs. Needs an artifacts destination in S3 that clients reach.",
    )
    locations: tuple[str, ...] = setting(
        "RAILTRACK_ARTIFACT_LOCATIONS",
        flags=("--artifact-locations",),
        parse=parsers.artifact_locations,
        default="",
        help="Further folders and `s3://bucket/prefix` locations that the server may read, separated by commas. "
        "Needed for experiments whose artifacts are outside of the two locations above.",
    )

    def experiment_location(self, experiment_id: int) -> str:
        """Return the artifact location of a new experiment that names none."""
        return f"{self.default_root.rstrip('/')}/{experiment_id}"


@dataclass(frozen=True, slots=True)
class AwsSettings:
    access_key_id: str = setting(
        "AWS_ACCESS_KEY_ID",
        parse=parsers.text,
        default="",
        help="Access key for S3. An `s3://` location needs an access key, a profile or a role.",
        secret=True,
    )
    secret_access_key: str = setting(
        "AWS_SECRET_ACCESS_KEY",
        parse=parsers.text,
        default="",
        help="Secret of the access key.",
        secret=True,
    )
    session_token: str = setting(
        "AWS_SESSION_TOKEN",
        parse=parsers.text,
        default="",
        help="Session token of temporary credentials.",
        secret=True,
    )
    web_identity_token_file: str = setting(
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        parse=parsers.text,
        default="",
        help="File with the token that STS exchanges for credentials of `AWS_ROLE_ARN`. Kubernetes mounts it.",
    )
    role_arn: str = setting(
        "AWS_ROLE_ARN", parse=parsers.text, default="", help="The role to assume with the web identity token."
    )
    role_session_name: str = setting(
        "AWS_ROLE_SESSION_NAME", parse=parsers.text, default="railtrack", help="Session name of the assumed role."
    )
    sts_endpoint: str = setting(
        "AWS_ENDPOINT_URL_STS", parse=parsers.endpoint, default="", help="URL of STS. Default: STS of the region."
    )
    profile: str = setting(
        "AWS_PROFILE", parse=parsers.text, default="", help="Profile to use if no access key is set."
    )
    config_file: str = setting(
        "AWS_CONFIG_FILE",
        parse=parsers.text,
        default="~/.aws/config",
        help="File with the roles, SSO sessions and `credential_process` programs of profiles.",
    )
    shared_credentials_file: str = setting(
        "AWS_SHARED_CREDENTIALS_FILE",
        parse=parsers.text,
        default="~/.aws/credentials",
        help="File with the access keys of profiles.",
    )
    container_credentials_relative_uri: str = setting(
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        parse=parsers.text,
        default="",
        help="Path of the task role's credentials on the ECS agent. ECS sets it.",
    )
    container_credentials_full_uri: str = setting(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        parse=parsers.text,
        default="",
        help="URL of the container's credentials. EKS sets it. Must use `https`, a loopback address, or an address of "
        "Amazon's agents.",
    )
    container_authorization_token: str = setting(
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        parse=parsers.text,
        default="",
        help="Authorization token for the container's credentials.",
        secret=True,
    )
    container_authorization_token_file: str = setting(
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        parse=parsers.text,
        default="",
        help="File with the authorization token, read again for each request.",
    )
    instance_role: bool = setting(
        "RAILTRACK_S3_INSTANCE_ROLE",
        parse=parsers.on_off,
        default="off",
        help="`on`: use the role of the EC2 instance. `off`: never contact the instance's metadata service.",
    )
    ec2_metadata_endpoint: str = setting(
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        parse=parsers.endpoint,
        default="http://169.254.169.254",
        help="URL of the instance's metadata service.",
    )
    ca_bundle: str = setting(
        "AWS_CA_BUNDLE",
        parse=parsers.readable,
        default="",
        help="File of certificates (PEM) to trust instead of the system's, for a store with a private CA.",
    )


@dataclass(frozen=True, slots=True)
class S3Settings:
    endpoint: str = setting(
        "AWS_S3_ENDPOINT_URL",
        "MLFLOW_S3_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL",
        parse=parsers.s3_endpoint,
        default="",
        help="URL of an S3-compatible store: Cloudflare R2, Backblaze B2, Railway, MinIO, Supabase (with its path). "
        "Default: Amazon S3 in the region.",
        one_value=True,
    )
    region: str = setting(
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        parse=parsers.text,
        default="",
        help="Region of the store. Default: `auto` for R2 and Railway, the region in the host name for B2, else "
        "`us-east-1`, corrected to the region that the store reports for the bucket.",
    )
    addressing: str = setting(
        "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE",
        parse=parsers.one_of("auto", "path", "virtual"),
        default="auto",
        help="Position of the bucket in URLs: `path`, `virtual` (in the host name), or `auto`, the endpoint's default.",
    )
    upload_headers: tuple[tuple[str, str], ...] = setting(
        "MLFLOW_S3_UPLOAD_EXTRA_ARGS",
        parse=s3_upload_args.headers,
        default="",
        help="Arguments of uploads as a JSON object, in boto3's names: `ServerSideEncryption`, `SSEKMSKeyId`, "
        "`StorageClass`, `ACL`, `Tagging` and others that concern the creation of an object.",
    )
    ignores_tls: bool = setting(
        "MLFLOW_S3_IGNORE_TLS",
        parse=parsers.boolean,
        default="false",
        help="`true` does not check the store's certificate, so anyone on the way can read and change artifacts. "
        "`AWS_CA_BUNDLE` is the safe way to use a private CA.",
    )
    bucket_owner: str = setting(
        "MLFLOW_S3_EXPECTED_BUCKET_OWNER",
        parse=parsers.header_text,
        default="",
        help="Account that must own the buckets. The store rejects the server's requests to a bucket of another one.",
    )
    presigned: str = setting(
        "RAILTRACK_S3_PRESIGNED",
        flags=("--s3-presigned",),
        parse=parsers.auto_on_off,
        default="auto",
        help="Whether clients transfer large files to and from the store directly, by presigned URLs. `auto`: if a "
        "probe succeeds and the endpoint is not in a private network. `on`: in private networks, too.",
    )
