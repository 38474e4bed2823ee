"""Real servers and a real browser, started for tests on this machine alone, each a fixture."""
