"""``python -m benchmarks.ingestion``."""

from benchmarks.ingestion.cli import app

if __name__ == "__main__":
    app()
