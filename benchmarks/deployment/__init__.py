"""What servers cost beside the embedded run: the night, events, and runs that wait in a queue."""
