"""What assets are given: the environment, storage, sources, the classifier, notification."""
