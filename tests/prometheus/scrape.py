"""/metrics, parsed as Prometheus does."""

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


class Scrape:
    """A response of /metrics. Samples are looked up by name and labels."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples: list[Sample] = [one for family in self.families.values() for one in family.samples]

    def values(self, name: str, **labels: str) -> list[float]:
        return [one.value for one in self.samples if one.name == name and labels.items() <= one.labels.items()]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of all samples with these labels."""
        return sum(self.values(name, **labels))

    def sums(self) -> dict[tuple[str, str], float]:
        """Return the samples that must not decrease, by name and labels."""
        growing = [family for family in self.families.values() if family.type in ("counter", "histogram")]
        return {(one.name, str(one.labels)): one.value for family in growing for one in family.samples}
