"""Write the image's software bill of materials (CycloneDX 1.5) from what `uv export --format cyclonedx1.5` prints.

Adds the web interface, which comes out of MLflow's wheel. Drops what differs between two builds of the same sources.

    python tools/write_sbom.py EXPORTED OUTPUT
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import build_ui


def with_web_interface(sbom: dict[str, object]) -> dict[str, object]:
    """Return the exported document with the web interface, and without serial number and time."""
    component = {
        "type": "library",
        "bom-ref": f"mlflow-web-interface@{build_ui.MLFLOW}",
        "name": "mlflow-web-interface",
        "version": build_ui.MLFLOW,
        "description": f"{build_ui.INSIDE} of MLflow's wheel",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "purl": f"pkg:pypi/mlflow@{build_ui.MLFLOW}",
        "hashes": [{"alg": "SHA-256", "content": build_ui.SHA256}],
    }
    components = sbom["components"]
    metadata = sbom["metadata"]
    assert isinstance(components, list)
    assert isinstance(metadata, dict)
    kept = {name: value for name, value in sbom.items() if name != "serialNumber"}
    metadata = {name: value for name, value in metadata.items() if name != "timestamp"}
    return kept | {"metadata": metadata, "components": [*components, component]}


if __name__ == "__main__":
    exported, output = map(Path, sys.argv[1:])
    output.write_text(json.dumps(with_web_interface(json.loads(exported.read_text())), indent=1) + "\n")
