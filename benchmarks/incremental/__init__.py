"""What it costs when k of N files changed, from the sensor's look to the end of its run; beside it Make and DVC."""
