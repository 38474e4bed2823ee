"""What the pipeline knows about photos, logs and popularity: plain Python, usable without Dagster."""
