"""The engine of this workspace: yours to read and to change."""

__version__ = "0.1.0"
