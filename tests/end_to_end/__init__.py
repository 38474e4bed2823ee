"""What a person does: the whole program, its pages and its command lines."""
