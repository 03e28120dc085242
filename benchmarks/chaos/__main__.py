"""``python -m benchmarks.chaos``."""

from benchmarks.chaos.cli import app

if __name__ == "__main__":
    app()
