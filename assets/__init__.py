"""Software-defined assets: thin functions, one module per data entity."""
