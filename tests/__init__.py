"""Tests, in folders named as the code that they test."""
