"""A Kubernetes API server for tests: HTTP and objects as the real one has them, and pods that are processes of this machine.

What differs from a cluster: an image's name is ignored and its entry point is nothing, volumes are looked up but not mounted,
no container is restarted, limits and security contexts are checked but not applied, and a pod finds its account's token in the
kubeconfig that its variable KUBECONFIG names.
"""
