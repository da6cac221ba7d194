"""``python -m tidemill.cli``: the same as ``tidemill``."""

from tidemill.cli import main

if __name__ == "__main__":
    main()
