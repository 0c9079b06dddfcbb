"""Artifacts: upload, listing, download with comparison by SHA-256, and files written by MLflow."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import numpy
import pandas
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts, load_dict, load_image, load_text
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from PIL import Image

from scenario.registry import failing, new_run, step


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _listing(run_id: str, path: str | None = None) -> dict[str, int | None]:
    """Return name -> size, or None for a folder."""
    found = MlflowClient().list_artifacts(run_id, path)
    return {entry.path: None if entry.is_dir else entry.file_size for entry in found}


@step()
def a_file_is_uploaded_and_downloaded() -> None:
    with _folder() as folder, new_run("artifact") as run_id:
        weights = folder / "weights.bin"
        weights.write_bytes(os.urandom(5_000_000))
        mlflow.log_artifact(str(weights))
        mlflow.log_artifact(str(weights), artifact_path="model/data")
        assert _listing(run_id) == {"model": None, "weights.bin": 5_000_000}
        assert _listing(run_id, "model") == {"model/data": None}
        assert _listing(run_id, "model/data") == {"model/data/weights.bin": 5_000_000}
        assert _listing(run_id, "nowhere") == {}
        expected = hashlib.sha256(weights.read_bytes()).hexdigest()
        for path in ("weights.bin", "model/data/weights.bin"):
            back = download_artifacts(run_id=run_id, artifact_path=path, dst_path=str(folder / "back"))
            assert hashlib.sha256(Path(back).read_bytes()).hexdigest() == expected


@step()
def a_file_is_replaced_by_a_later_one() -> None:
    with _folder() as folder, new_run("replace") as run_id:
        path = folder / "notes.txt"
        for text in ("a much longer first text", "second"):
            path.write_text(text)
            mlflow.log_artifact(str(path))
        assert load_text(f"runs:/{run_id}/notes.txt") == "second"
        assert _listing(run_id) == {"notes.txt": 6}


@step()
def two_hundred_small_files_are_uploaded_and_downloaded() -> None:
    with _folder() as folder, new_run("many") as run_id:
        source = folder / "source"
        for number in range(200):
            path = source / f"part-{number % 4}" / f"{number:03}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"file {number}\n" * number)
        mlflow.log_artifacts(str(source), artifact_path="data")
        assert _listing(run_id, "data") == {f"data/part-{number}": None for number in range(4)}
        assert len(_listing(run_id, "data/part-0")) == 50
        back = download_artifacts(run_id=run_id, artifact_path="data", dst_path=str(folder / "back"))
        assert _digests(Path(back)) == _digests(source)


@step()
def files_with_unusual_names_are_uploaded_and_downloaded() -> None:
    # Without '#', '?' and '%41': no client escapes them, so the file would get a shorter name.
    names = [
        "a b.txt",
        "100%.txt",
        "g+h.txt",
        "한글 파일.txt",
        "é;x=y&z.txt",
        "[a]{b}~'c'.txt",
        ".x",
        "empty",
    ]
    with _folder() as folder, new_run("names") as run_id:
        source = folder / "source"
        source.mkdir()
        for name in names:
            (source / name).write_bytes(b"" if name == "empty" else name.encode())
        mlflow.log_artifacts(str(source))
        mlflow.log_artifacts(str(source), artifact_path="폴더 1/a+b")
        assert _listing(run_id).keys() == {*names, "폴더 1"}
        assert _listing(run_id, "폴더 1/a+b").keys() == {f"폴더 1/a+b/{name}" for name in names}
        back = folder / "back"
        back.mkdir()
        MlflowClient().download_artifacts(run_id, "", str(back))
        expected = _digests(source)
        assert _digests(back) == expected | {f"폴더 1/a+b/{name}": value for name, value in expected.items()}


@step()
def text_and_dictionaries_are_logged_as_files() -> None:
    with new_run("text") as run_id:
        mlflow.log_text("첫 줄\nsecond line", "notes/읽기.txt")
        mlflow.log_dict({"lr": 0.1, "이름": [1, 2]}, "conf/config.json")
        mlflow.log_dict({"lr": 0.1, "names": ["a"]}, "conf/config.yaml")
        assert load_text(f"runs:/{run_id}/notes/읽기.txt") == "첫 줄\nsecond line"
        assert load_dict(f"runs:/{run_id}/conf/config.json") == {"lr": 0.1, "이름": [1, 2]}
        assert "lr: 0.1" in load_text(f"runs:/{run_id}/conf/config.yaml")
        assert _listing(run_id, "conf").keys() == {"conf/config.json", "conf/config.yaml"}


@functools.cache
def _pixels() -> numpy.ndarray:
    pixels = numpy.zeros((32, 48, 3), dtype=numpy.uint8)
    pixels[:16, :, 0] = 255
    pixels[:, 24:, 1] = 128
    return pixels


@step()
def images_are_logged_as_files() -> None:
    with new_run("image") as run_id:
        mlflow.log_image(_pixels(), "images/array.png")
        mlflow.log_image(Image.fromarray(_pixels()), "images/pillow.png")
        for name in ("array", "pillow"):
            back = load_image(f"runs:/{run_id}/images/{name}.png")
            assert numpy.array_equal(numpy.asarray(back.convert("RGB")), _pixels())


@step(since=(2, 13))
def images_are_logged_under_a_key_at_steps() -> None:
    with new_run("image-steps") as run_id:
        for number in range(3):
            mlflow.log_image(_pixels(), key="predicted mask", step=number, synchronous=number > 0)
        mlflow.flush_artifact_async_logging()
        names = list(_listing(run_id, "images"))
        assert len(names) == 6  # an image and a thumbnail each
        assert all(name.startswith("images/predicted mask") for name in names)
        back = download_artifacts(run_id=run_id, artifact_path="images")
        assert len(_digests(Path(back))) == 6


@step()
def a_table_is_logged_in_parts_and_loaded() -> None:
    with new_run("table") as run_id:
        mlflow.log_table({"question": ["왜?", "how?"], "score": [0.5, 1.0]}, "eval/table.json")
        mlflow.log_table(pandas.DataFrame({"question": ["when?"], "score": [0.0]}), "eval/table.json")
        mlflow.log_param("lr", 0.1)
        experiment_id = mlflow.get_run(run_id).info.experiment_id
        assert "eval/table.json" in mlflow.get_run(run_id).data.tags["mlflow.loggedArtifacts"]
    mlflow.set_experiment(experiment_id=experiment_id)
    table = mlflow.load_table("eval/table.json", run_ids=[run_id], extra_columns=["run_id"])
    assert list(table["question"]) == ["왜?", "how?", "when?"]
    assert set(table["run_id"]) == {run_id}


@step(since=(3, 10))
def a_stream_is_logged_as_file() -> None:
    with _folder() as folder, new_run("stream") as run_id:
        content = os.urandom(300_000)
        source = folder / "source"
        source.write_bytes(content)
        with source.open("rb") as stream:
            mlflow.log_stream(stream, "streams/data.bin")
        back = download_artifacts(run_id=run_id, artifact_path="streams/data.bin")
        assert Path(back).read_bytes() == content


@step()
def artifacts_are_deleted() -> None:
    with new_run("delete") as run_id:
        mlflow.log_text("a", "keep/a.txt")
        mlflow.log_text("b", "drop/b.txt")
        store = get_artifact_repository(mlflow.get_artifact_uri())
        store.delete_artifacts("drop")
        assert _listing(run_id) == {"keep": None}
        assert _listing(run_id, "drop") == {}


@step()
def a_missing_artifact_is_reported() -> None:
    with _folder() as folder, new_run("missing") as run_id:
        mlflow.log_text("here", "here.txt")
        with failing("gone.txt"):
            get_artifact_repository(mlflow.get_artifact_uri()).download_artifacts("gone.txt", str(folder))
        with failing("Invalid path"):
            MlflowClient().list_artifacts(run_id, "../../etc")
