"""What is counted for Prometheus, and how it is told."""
