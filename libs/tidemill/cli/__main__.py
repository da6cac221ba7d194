"""``python -m tidemill.cli``: the same as ``tidemill``."""

from tidemill.cli import run

if __name__ == "__main__":
    run()
