"""Render a chart with Helm and validate the manifests against Kubernetes' schemas. Runs in the environment .cache/helm.

Reads {"chart": folder, "values": {name: values}} from stdin. Prints, for each name, the manifests by file and the
errors of the schemas, or the error of Helm; and what `helm lint --strict` reports with the first values.
"""

import json
import sys
from typing import Any

import helm_python
import kubernetes_validate
import yaml

KUBERNETES = "1.30.0"
"""The oldest version that the chart accepts."""


def rendered(chart: Any, values: dict[str, Any]) -> dict[str, Any]:
    try:
        texts = chart.render(values, name="mlflow", namespace="tracking")
    except helm_python.HelmError as error:
        return {"error": str(error)}
    notes = texts.pop("railtrack/templates/NOTES.txt")
    manifests = {name.rpartition("/")[2]: yaml.safe_load(text) for name, text in texts.items() if text.strip()}
    invalid = []
    for version in (KUBERNETES, kubernetes_validate.latest_version()):
        for name, manifest in manifests.items():
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                invalid.append(f"{version} {name}: {error}")
    return {"manifests": manifests, "invalid": invalid, "notes": notes}


given = json.load(sys.stdin)
first = next(iter(given["values"].values()))
with helm_python.Chart.load(given["chart"]) as loaded:
    results = {name: rendered(loaded, values) for name, values in given["values"].items()}
lint = helm_python.lint(given["chart"], values=first, strict=True)
json.dump({"rendered": results, "lint": lint["messages"] + lint["errors"]}, sys.stdout)
