"""Differences for artifacts: names, folders, and path traversal."""

from typing import Any

from tests.compat.differences.registry import because
from tests.compat.overrides import Response, accepted, edited, in_the_common_form, rejected

INVALID = rejected("Invalid path")
IN_PROXIED = "<experiment: given the experiment proxied>/<id: given the run proxied>/artifacts"
IN_TRAVERSAL = "<experiment: given the experiment climbing>/<id: given the run climbing>/artifacts"


def no_such_artifact(path: str) -> Any:
    return rejected(f"No such artifact: '{path}'", "RESOURCE_DOES_NOT_EXIST", 404)


def without_slash(response: Response) -> None:
    response["json"]["message"] = response["json"]["message"].replace("/'", "'")


def file(text: str, **headers: str) -> Any:
    """Expect 200 with this text as a binary file."""

    def ours(request: dict[str, Any], theirs: Response) -> Response:
        media_type = headers.get("content_type", "application/octet-stream")
        response: Response = {"status": 200, "media_type": media_type, "text": text}
        if "headers" in theirs:
            shown = {name.replace("_", "-"): value for name, value in headers.items()}
            response["headers"] = {**shown, "x-content-type-options": "nosniff"}
        return response

    return ours


because(
    "The same error, in the common JSON form.",
    {
        "artifacts_proxied": {
            "get notes": in_the_common_form("INVALID_PARAMETER_VALUE"),
            "get notes/": rejected(f"Artifact path refers to a directory, not a file: '{IN_PROXIED}/notes'"),
            ("put to a slash", "put to a folder with a slash"): in_the_common_form("INVALID_PARAMETER_VALUE"),
        },
        "artifacts_of_runs": {
            "get an empty path": edited(without_slash),
            "get no path": rejected("Request must specify path."),
        },
    },
)

because(
    "MLflow responds with 500 to errors of the file system.",
    {
        "artifacts_proxied": {
            "put on a folder": rejected(
                f"An artifact cannot be stored as '{IN_PROXIED}/notes': there is a folder of that name."
            ),
            "put under a file": rejected(
                f"An artifact cannot be stored as '{IN_PROXIED}/notes/a.txt/b': a part of that path is a file."
            ),
        },
    },
)

because(
    "A path is used literally or rejected: '#' and a line break may be part of a name, a single dot is no name, and "
    "what any system could read as traversal or as the end of a string is rejected.",
    {
        "artifacts_proxied": {
            "put a name with a hash and a question mark": accepted(),
            "get a%23b%3Fc.txt": file(
                "signs", content_type="text/plain", content_disposition='attachment; filename="a#b?c.txt"'
            ),
        },
        "artifacts_traversal": {
            tuple(
                f"{asked} ..%5cx" for asked in ("put", "get", "list", "delete", "artifacts/list", "get-artifact")
            ): INVALID,
            ("put a%00b", "get a%00b", "delete a%00b"): INVALID,
            tuple(f"{asked} s3://bucket/x" for asked in ("get", "list", "artifacts/list", "get-artifact")): INVALID,
            ("put ./x", "delete ./x", "put a/./b", "delete a/./b"): INVALID,
            "get ./x": no_such_artifact(f"{IN_TRAVERSAL}/odd/0/x"),
            "get a/./b": no_such_artifact(f"{IN_TRAVERSAL}/odd/2/a/b"),
            ("put x%23fragment", "put a%0ab"): accepted(),
            ("get x%23fragment", "get a%0ab"): file("x"),
            ("delete x%23fragment", "delete a%0ab"): accepted({}),
        },
    },
)
