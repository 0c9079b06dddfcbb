"""Which sources a model version may have, judged by their syntax and by the artifact location that must contain them.

The server reads a version's files for everyone who may see the version (get-artifact), so a source must not lead to a
file of the server or to the artifacts of another run or model. Looking locations up is up to the endpoint.
"""

from posixpath import normpath
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from railtrack.errors import ApiError, invalid
from railtrack.mlflow.artifact_location import has_traversal, reject_other_host
from railtrack.mlflow.prompts import PROMPT_SOURCES


def check_prompt_source(source: str) -> None:
    if source not in PROMPT_SOURCES:
        raise invalid(f"Invalid prompt source: '{source[:1000]}'. Prompt sources must use an MLflow placeholder.")


def check_source(source: str, run_id: str, model_id: str) -> None:
    """Raise INVALID_PARAMETER_VALUE for a source that is rejected whatever the database holds."""
    parts = split_source(source)
    reject_other_host(parts, "source")
    if parts.scheme in ("", "file"):
        if has_traversal(without_dots(source)) or parts.netloc not in ("", "localhost") or not (run_id or model_id):
            raise _local_path(source)
    elif not _is_absolute(source, parts):
        raise invalid(
            f"Invalid model version source: '{source}'. If supplying a source as an http, https, local file path, ftp, "
            "objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path references "
            "present. Please provide an absolute path."
        )


def split_source(source: str) -> SplitResult:
    try:
        return urlsplit(source)
    except ValueError:
        raise invalid(f"Invalid model version source: '{source}'. It is not a valid URI.") from None


def without_dots(source: str) -> str:
    """Return a local path or file: URI without the `..` segments that stay inside it; any other source as it is."""
    parts = split_source(source)
    if parts.scheme not in ("", "file") or ".." not in parts.path.split("/"):
        return source
    return parts._replace(path=normpath(parts.path)).geturl() if parts.scheme else normpath(source)


def _is_absolute(source: str, parts: SplitResult) -> bool:
    """MLflow searches only the path for traversal; this also searches the query and the fragment."""
    if parts.scheme == "models":
        return not has_traversal(source)
    segments = unquote(parts.path).split("/")
    return (
        parts.path.startswith("/")
        and any(segments)
        and "." not in segments
        and "\0" not in unquote(source)
        and not has_traversal(source)
    )


class ModelReference(NamedTuple):
    """A version of a registered model: by its alias, or by its number, its stage or `latest`; the other one is ""."""

    name: str
    alias: str
    version: str


def model_reference(source: SplitResult) -> ModelReference | None:
    """Return what a models: URI refers to, None for `models:/<logged model id>` and for an invalid one."""
    match source.path.lstrip("/").split("/"):
        case [name_and_alias] if "@" in name_and_alias.strip("@"):
            name, _, alias = name_and_alias.rpartition("@")
            return ModelReference(name, alias, "")
        case [name, version] if name and version:
            return ModelReference(name, "", version)
    return None


def check_within(source: str, location: str, parameter: str) -> None:
    """Raise INVALID_PARAMETER_VALUE unless the source is the artifact location or below it.

    `parameter` is `run_id` or `model_id`, which names the owner of the location. Without an owner, `location` is "".
    """
    if not location:
        raise not_owned(source, parameter)
    plain = without_dots(source)
    source_parts, root_parts = split_source(plain), split_source(location)
    is_local = source_parts.scheme in ("", "file")
    is_same_store = root_parts.scheme in ("", "file") if is_local else root_parts.scheme == source_parts.scheme
    path, root = _path(plain, source_parts), _path(location, root_parts)
    if not is_same_store or not (path == root or path.startswith(f"{root}/")):
        raise _local_path(plain) if is_local else not_owned(source, parameter)


def _path(location: str, parts: SplitResult) -> str:
    """Return the path that the artifact stores would read (artifacts/__init__.py), without slashes at its end."""
    return (unquote(parts.path) if parts.scheme else location).rstrip("/")


def not_owned(source: str, parameter: str) -> ApiError:
    return invalid(
        f"Invalid model version source: '{source}'. The {parameter} request parameter must identify the resource that "
        "contains the source."
    )


def _local_path(source: str) -> ApiError:
    return invalid(
        f"Invalid model version source: '{source}'. To use a local path as a model version source, the run_id request "
        "parameter has to be specified and the local path has to be contained within the artifact directory of the run "
        "specified by the run_id."
    )
