"""What a check finds, and the checks of `railtrack doctor` and `railtrack verify`, a module a subject."""
