"""A Kubernetes API server for tests: HTTP and objects as the real one has them, and pods that are processes of this machine.

What differs from a cluster: an image's name is ignored and its entry point is nothing, volumes are folders that variables lead
to, no container is restarted or probed, limits and security contexts are checked but not applied, network policies are kept and
no more, a namespace is gone at once, and a pod finds its account's token in the kubeconfig that its variable KUBECONFIG names.
"""
