"""Tests of the sample site generator."""
