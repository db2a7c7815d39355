"""Client-facing endpoints: parse, call the pipeline, write."""
