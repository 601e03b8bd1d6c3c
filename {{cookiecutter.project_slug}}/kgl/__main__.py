"""`python -m kgl` is `kgl`."""

from kgl.cli.main import main

if __name__ == "__main__":
    main()
