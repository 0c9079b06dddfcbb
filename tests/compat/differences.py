from typing import Any
DIFFERENCES: dict[str, dict[str, Any]] = {}
