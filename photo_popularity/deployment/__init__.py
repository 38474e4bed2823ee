"""What a deployment grants each task, derived from the lineage: Kubernetes, S3 and PostgreSQL are told the same.

`tasks.py` says what each task may do. The other modules say it in the words of those who enforce it.
"""
