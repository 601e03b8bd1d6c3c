"""Tests of pictures: files, networks, training."""
