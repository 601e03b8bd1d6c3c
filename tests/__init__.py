"""The template's tests: bake workspaces, run what they hold."""
