"""The `ingest` flow's own work, without a Prefect run around it.

``python -m benchmarks.ingestion.ours TABLE DIRECTORY TARGET``
"""

import sys

from prefect.logging import disable_run_logger

from benchmarks.ingestion.timing import timed
from flows.ingest import ingest

if __name__ == "__main__":
    with disable_run_logger():
        timed(lambda: ingest.fn(sys.argv[1], sys.argv[3], datasets=sys.argv[2]))
