"""Tests of the engine, on tiny data."""
