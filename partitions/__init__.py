"""Day partitions, file partitions, and which partitions an asset reads."""
