"""Artifacts: the proxied store's put, get, list, delete; artifacts/list, get-artifact; and path traversal."""

from urllib.parse import quote

from tests.compat.play import AJAX, Script, get, raw
from tests.compat.scenarios.given import NOWHERE, experiment, run

STORE = "/api/2.0/mlflow-artifacts/artifacts"
KEPT = ("content-type", "content-disposition", "x-content-type-options")

TRAVERSALS = [
    "..",
    "../",
    "../x",
    "a/../../x",
    "a/..",
    "a/../b",
    "%2e%2e/x",
    "%2e%2e%2fx",
    "%252e%252e%252fx",
    "..%2fx",
    "..%5cx",
    "a%00b",
]
"""Paths below the run's folder, each in a separate folder."""

ELSEWHERE = [
    "/etc/passwd",
    "//etc/passwd",
    "%2fetc/passwd",
    "%252fetc/passwd",
    "C:/x",
    "C:%5cx",
    "c%3a/x",
    "file:///etc/passwd",
    "file:%2f%2f%2fetc%2fpasswd",
    "s3://bucket/x",
    "~/x",
]
"""Paths directly below the store's root."""

ODD = [
    "./x",
    "a//b",
    "a/./b",
    "x%23fragment",
    "x%3fquery",
    "x;params",
    "%ff",
    "%",
    "a%2fb",
    "a%0ab",
    "%20",
    "...",
    "..a",
    "%EF%BC%8E%EF%BC%8E/x",
]
"""Valid names that look like traversal or escapes."""


def put(name: str, path: str, body: bytes, content_type: str | None = None, method: str = "PUT"):  # type: ignore[no-untyped-def]
    return raw(name, path, body, content_type, method=method)


def proxied(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "proxied")
    run_id = yield from run(experiment_id, "proxied")
    root = f"{STORE}/{experiment_id}/{run_id}/artifacts"
    inside = f"{experiment_id}/{run_id}/artifacts"
    yield get("list what is not there", STORE, {"path": inside})
    yield put("put a text", f"{root}/notes/a.txt", b"hello\n")
    yield put("put a JSON", f"{root}/notes/conf.json", b'{"a": 1}', "application/json")
    yield put("put over it", f"{root}/notes/a.txt", b"hello again\n")
    yield put("put nothing", f"{root}/empty.bin", b"")
    yield put("put a page", f"{root}/page.html", b"<script>alert(1)</script>")
    yield put("put a picture", f"{root}/p.png", b"\x89PNG\r\n\x1a\n")
    yield put("put without an extension", f"{root}/MLmodel", b"flavors: {}\n")
    yield put("put an unknown extension", f"{root}/x.weird", b"?")
    yield put("put a Korean name", f"{root}/%ED%95%9C%EA%B8%80%20%F0%9F%9A%80.txt", b"hangul")
    yield put("put a name with a plus and a percent", f"{root}/a+b%25c.txt", b"signs")
    yield get("list", STORE, {"path": inside})
    yield get("list a folder", STORE, {"path": inside + "/notes"})
    yield get("list a folder with a slash", STORE, {"path": inside + "/notes/"})
    yield get("list a file", STORE, {"path": inside + "/notes/a.txt"})
    yield get("list a missing folder", STORE, {"path": inside + "/nothing"})
    for name in (
        "notes/a.txt",
        "notes/conf.json",
        "empty.bin",
        "page.html",
        "p.png",
        "MLmodel",
        "x.weird",
        "%ED%95%9C%EA%B8%80%20%F0%9F%9A%80.txt",
        "a+b%25c.txt",
        "notes",
        "notes/",
        "nothing.txt",
        "notes/a.txt/b",
    ):
        yield get(f"get {name}", f"{root}/{name}", keep=KEPT)
    yield put("put on a folder", f"{root}/notes", b"x")
    yield put("put under a file", f"{root}/notes/a.txt/b", b"x")
    yield put("put without a path", STORE, b"x")
    yield put("put to a slash", STORE + "/", b"x")
    yield put("put to a folder with a slash", f"{root}/newfolder/", b"x")
    yield get("list without a path", STORE + "?path=nothing-here")
    yield put("delete a file", f"{root}/notes/a.txt", b"", method="DELETE")
    yield put("delete it again", f"{root}/notes/a.txt", b"", method="DELETE")
    yield put("delete a folder", f"{root}/notes", b"", method="DELETE")
    yield put("delete what never was", f"{root}/never", b"", method="DELETE")
    yield put("delete without a path", STORE, b"", method="DELETE")
    yield get("list at the end", STORE, {"path": inside})
    yield raw("post to a file", f"{root}/x.txt", b"x", None)
    pages = f"/ajax-api/2.0/mlflow-artifacts/artifacts/{inside}"
    yield put("put through the pages' path", f"{pages}/ajax.txt", b"ajax")
    yield get("get through the pages' path", f"{pages}/ajax.txt", keep=KEPT)
    yield get("list through the pages' path", "/ajax-api/2.0/mlflow-artifacts/artifacts", {"path": inside})
    yield put("put a name with a hash and a question mark", f"{root}/a%23b%3Fc.txt", b"signs")
    yield get("get a%23b%3Fc.txt", f"{root}/a%23b%3Fc.txt", keep=KEPT)
    for name in (
        "a b;c.txt",
        'q"\\q.txt',
        "café (1).csv",
        "日本語",
        "ﬁle½.bin",
        "it's~100%.txt",
        "ß.md",
        "[x]@{y}.log",
    ):
        yield put(f"put {name}", f"{root}/{quote(name)}", b"named")
        yield get(f"get {name}", f"{root}/{quote(name)}", keep=KEPT)
    yield get("the start of a multipart upload, by GET", "/api/2.0/mlflow-artifacts/mpu/create/x")


def traversal(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "climbing")
    run_id = yield from run(experiment_id, "climbing")
    for number, spelling in enumerate(TRAVERSALS):
        inside = f"{experiment_id}/{run_id}/artifacts/{number}"
        where = f"{STORE}/{inside}/{spelling}"
        yield put(f"put {spelling}", where, b"x")
        yield get(f"get {spelling}", where)
        yield get(f"list {spelling}", f"{STORE}?path={inside}/{spelling}")
        yield put(f"delete {spelling}", where, b"", method="DELETE")
        yield get(f"artifacts/list {spelling}", f"artifacts/list?run_id={run_id}&path={number}/{spelling}")
        yield get(f"get-artifact {spelling}", f"/get-artifact?run_id={run_id}&path={number}/{spelling}")
    for spelling in ELSEWHERE:
        yield get(f"get {spelling}", f"{STORE}/{spelling}")
        yield get(f"list {spelling}", f"{STORE}?path={spelling}")
        yield get(f"artifacts/list {spelling}", f"artifacts/list?run_id={run_id}&path={spelling}")
        yield get(f"get-artifact {spelling}", f"/get-artifact?run_id={run_id}&path={spelling}")
    for number, spelling in enumerate(ODD):
        where = f"{STORE}/{experiment_id}/{run_id}/artifacts/odd/{number}/{spelling}"
        yield put(f"put {spelling}", where, b"x")
        yield get(f"get {spelling}", where)
        yield put(f"delete {spelling}", where, b"", method="DELETE")


def of_runs(prefix: str) -> Script:
    experiment_id = yield from experiment(prefix, "of-runs")
    run_id = yield from run(experiment_id, "of runs")
    root = f"{STORE}/{experiment_id}/{run_id}/artifacts"
    path = "artifacts/list"
    yield get("none yet", path, {"run_id": run_id})
    yield put("given a text", f"{root}/notes/a.txt", b"hello\n")
    yield put("given a deeper one", f"{root}/notes/deep/b.csv", b"a,b\n1,2\n")
    yield put("given an empty file", f"{root}/empty.txt", b"")
    yield put("given a Korean name", f"{root}/%ED%95%9C%EA%B8%80.txt", b"hangul")
    yield put("given a page", f"{root}/page.html", b"<p>hi</p>")
    yield put("given a script", f"{root}/code.py", b"print(1)\n")
    yield put("given a picture", f"{root}/p.svg", b"<svg/>")
    yield get("list", path, {"run_id": run_id})
    yield get("list by the old name", path, {"run_uuid": run_id})
    yield get("list a folder", path, {"run_id": run_id, "path": "notes"})
    yield get("list a folder with a slash", path, {"run_id": run_id, "path": "notes/"})
    yield get("list a deeper folder", path, {"run_id": run_id, "path": "notes/deep"})
    yield get("list a file", path, {"run_id": run_id, "path": "notes/a.txt"})
    yield get("list a missing folder", path, {"run_id": run_id, "path": "nothing"})
    yield get("list an empty path", path, {"run_id": run_id, "path": ""})
    yield get("list with a token", path, {"run_id": run_id, "page_token": "x"})
    yield get("list of no run", path)
    yield get("list of an empty run", path, {"run_id": ""})
    yield get("list of a run that is not there", path, {"run_id": NOWHERE})
    yield get("list through the pages' path", AJAX + path, {"run_id": run_id, "path": "notes"})
    where = "/get-artifact"
    for name in ("notes/a.txt", "notes/deep/b.csv", "empty.txt", "한글.txt", "page.html", "code.py", "p.svg"):
        yield get(f"get {name}", where, {"run_id": run_id, "path": name}, keep=KEPT)
    yield get("get by the old name", where, {"run_uuid": run_id, "path": "notes/a.txt"})
    yield get("get by both names", where, {"run_uuid": run_id, "run_id": NOWHERE, "path": "notes/a.txt"})
    yield get("get a folder", where, {"run_id": run_id, "path": "notes"})
    yield get("get a missing file", where, {"run_id": run_id, "path": "missing.txt"})
    yield get("get an empty path", where, {"run_id": run_id, "path": ""})
    yield get("get no path", where, {"run_id": run_id})
    yield get("get of no run", where, {"path": "notes/a.txt"})
    yield get("get of an empty run", where, {"run_id": "", "path": "notes/a.txt"})
    yield get("get of a run that is not there", where, {"run_id": NOWHERE, "path": "notes/a.txt"})
    yield raw("get by POST", where, b"{}")
    where = AJAX + "upload-artifact"
    for label, query in {
        "by the run's id": f"run_id={run_id}&path=up/a.txt",
        "by its old name": f"run_uuid={run_id}&path=up/b.txt",
        "by an empty id and the old name": f"run_id=&run_uuid={run_id}&path=up/c.txt",
        "by another run and the old name": f"run_id={NOWHERE}&run_uuid={run_id}&path=up/d.txt",
        "of no run": "path=up/e.txt",
        "without a path": f"run_id={run_id}",
    }.items():
        yield raw(f"upload {label}", f"{where}?{query}", b"x", None)
    yield get("list the uploads", path, {"run_id": run_id, "path": "up"})


SCENARIOS = {"artifacts_proxied": proxied, "artifacts_traversal": traversal, "artifacts_of_runs": of_runs}
