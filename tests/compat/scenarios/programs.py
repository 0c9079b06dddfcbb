"""What training programs of other packages sent, recorded by tests/compat/record_programs.py."""

from tests.compat.sent import FOLDER, scenario

SCENARIOS = {f"program_{file.stem}": scenario(file.stem) for file in sorted(FOLDER.glob("*.json"))}
