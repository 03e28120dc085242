"""``python -m benchmarks.scale``."""

from benchmarks.scale.cli import app

if __name__ == "__main__":
    app()
