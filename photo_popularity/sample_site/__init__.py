"""A photo site made up from a seed: drawn photos, a database, access logs, and the law behind them."""
