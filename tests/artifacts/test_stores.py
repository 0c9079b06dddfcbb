"""From artifact URIs to stores: which are served, from where, and which are not."""

from pathlib import Path

import pytest

from railtrack.artifacts import ArtifactStores
from railtrack.artifacts.local import LocalStore
from railtrack.config.settings import ArtifactSettings, Settings
from railtrack.errors import ApiError


def stores_at(destination: str, default_root: str = "mlflow-artifacts:/", *locations: str) -> ArtifactStores:
    return ArtifactStores(Settings(artifacts=ArtifactSettings(default_root, destination, locations=locations)))


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "data" / "mlartifacts"


@pytest.fixture
def stores(destination: Path) -> ArtifactStores:
    return stores_at(str(destination))


def file_of(stores: ArtifactStores, uri: str, path: str = "") -> str:
    store, key = stores.locate(uri, path)
    assert isinstance(store, LocalStore)
    return f"{store.root}/{key}".rstrip("/")


async def test_a_folder_that_no_new_experiment_uses_may_be_missing(tmp_path: Path) -> None:
    """As in a container that can only be read, whose clients write to a store of their own."""
    (tmp_path / "file").write_text("in the way of a folder")
    unusable = str(tmp_path / "file" / "mlartifacts")
    await stores_at(unusable, f"file://{tmp_path}/mlruns").probe()
    with pytest.raises(ApiError):
        await stores_at(unusable).probe()


@pytest.mark.parametrize(
    ("uri", "inside"),
    [
        ("mlflow-artifacts:/1/run/artifacts", "1/run/artifacts"),
        ("mlflow-artifacts:1/run", "1/run"),
        ("mlflow-artifacts:///1/run", "1/run"),
        ("mlflow-artifacts://host:5000/1/run", "1/run"),
        ("mlflow-artifacts://user:password@host/1", "1"),
        ("mlflow-artifacts:/", ""),
        ("mlflow-artifacts:/my%20place/100%25", "my place/100%"),
        ("mlflow-artifacts:/my place;x", "my place;x"),
        ("mlflow-artifacts:/1?x=../../y", "1"),
        ("http://host/api/2.0/mlflow-artifacts/artifacts/1/run", "1/run"),
        ("https://host/prefix/api/2.0/mlflow-artifacts/artifacts/1", "1"),
    ],
)
def test_proxied_locations_are_below_the_destination(
    stores: ArtifactStores, destination: Path, uri: str, inside: str
) -> None:
    assert file_of(stores, uri, "model/MLmodel") == str(destination / inside / "model/MLmodel")


def test_local_locations_below_a_served_folder_are_served(stores: ArtifactStores, destination: Path) -> None:
    for uri in (f"{destination}/1/run", f"file://{destination}/1/run", f"file:{destination}/1/run"):
        assert file_of(stores, uri, "a") == f"{destination}/1/run/a"
    assert file_of(stores, f"file://localhost{destination}/a%20b") == f"{destination}/a b"
    assert file_of(stores, str(destination)) == str(destination)


def test_the_default_artifact_root_is_served_when_it_is_local(tmp_path: Path, destination: Path) -> None:
    stores = stores_at(str(destination), f"file://{tmp_path}/mlruns")
    assert file_of(stores, f"{tmp_path}/mlruns/0/run", "a") == f"{tmp_path}/mlruns/0/run/a"


def test_relative_locations_are_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stores = stores_at("./mlartifacts", "./mlruns")
    assert file_of(stores, "mlruns/0", "a") == f"{tmp_path}/mlruns/0/a"
    assert file_of(stores, "./mlruns/0") == f"{tmp_path}/mlruns/0"
    assert file_of(stores, "mlflow-artifacts:/0") == f"{tmp_path}/mlartifacts/0"


def test_a_folder_configured_through_a_link_has_both_names(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    stores = stores_at(str(tmp_path / "link"))
    assert file_of(stores, f"{tmp_path}/link/a") == file_of(stores, f"{tmp_path}/real/a") == f"{tmp_path}/real/a"


@pytest.mark.parametrize(
    "uri",
    [
        "/etc", "/", "file:///etc/passwd", "file:/etc", "//proc/self/root", "file:////proc/self/root", "etc", "",
        "{data}", "{data}/mlflow.db", "{data}/mlartifacts2/x", "{data}/mlartifacts-private",
    ],
)  # fmt: skip
def test_other_local_locations_are_not_served(stores: ArtifactStores, destination: Path, uri: str) -> None:
    with pytest.raises(ApiError, match="not below a folder that this server serves") as caught:
        stores.locate(uri.format(data=destination.parent))
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "uri",
    [
        "{root}/../mlflow.db", "file://{root}/../mlflow.db", "file://{root}/%2e%2e/x", "file://{root}/%252e%252e/x",
        "mlflow-artifacts:/../x", "mlflow-artifacts:/a/%2e%2e/b", "mlflow-artifacts:/a/%252e%252e/b",
        "mlflow-artifacts:/a\\..\\b", "http://host/api/2.0/mlflow-artifacts/artifacts/../../x",
        "mlflow-artifacts:/C:/x",
    ],
)  # fmt: skip
def test_locations_with_traversal_out_of_a_served_folder_are_rejected(
    stores: ArtifactStores, destination: Path, uri: str
) -> None:
    with pytest.raises(ApiError) as caught:
        stores.locate(uri.format(root=destination))
    assert (caught.value.status, caught.value.message) == (400, "Invalid path")


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "%2e%2e/x"])
def test_a_path_is_checked_by_itself_below_every_location(stores: ArtifactStores, path: str) -> None:
    with pytest.raises(ApiError, match=r"^Invalid path$"):
        stores.locate("mlflow-artifacts:/1/run/artifacts", path)
    with pytest.raises(ApiError, match=r"^Invalid path$"):
        stores.proxied(path)


def test_folders_served_besides_the_destination_are_served(tmp_path: Path, destination: Path) -> None:
    stores = stores_at(str(destination), "mlflow-artifacts:/", str(tmp_path / "old"))
    assert file_of(stores, f"{tmp_path}/old/0/run", "a") == f"{tmp_path}/old/0/run/a"


@pytest.mark.parametrize(
    "uri", ["gs://b/x", "dbfs:/x", "hdfs://h/x", "ftp://h/x", "http://h/other", "file://host/x", "C:\\x"]
)
def test_other_schemes_are_not_supported_and_their_hosts_are_not_contacted(stores: ArtifactStores, uri: str) -> None:
    with pytest.raises(ApiError, match="not in this version") as caught:
        stores.locate(uri)
    assert caught.value.status == 501


def test_an_invalid_uri_is_rejected(stores: ArtifactStores) -> None:
    with pytest.raises(ApiError, match="is not a valid URI"):
        stores.locate("mlflow-artifacts://[/x")


def test_creating_the_stores_touches_no_file(stores: ArtifactStores, destination: Path) -> None:
    stores.locate("mlflow-artifacts:/1")
    assert not destination.parent.exists()


def test_a_file_is_served_when_a_served_folder_contains_it(tmp_path: Path, destination: Path) -> None:
    stores = stores_at(str(destination), f"file://{tmp_path}/mlruns")
    (tmp_path / "link").symlink_to(tmp_path / "mlruns")
    assert stores.serves(str(destination / "deep" / "mlflow.db"))
    assert stores.serves(str(tmp_path / "link" / "mlflow.db"))
    assert not stores.serves(str(destination.parent / "mlflow.db"))
    assert not stores.serves(f"{destination}-2/mlflow.db")
