"""What an operator sees of the server besides its answers: counts for Prometheus, and the log. No resource is named in
here, and nothing is decided by what is counted."""
