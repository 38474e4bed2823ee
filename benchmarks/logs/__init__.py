"""How fast the log scanner is: beside a tuned Unix pipeline, DuckDB, Polars, and what the machine can do at all."""
