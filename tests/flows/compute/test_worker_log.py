import contextvars
import logging
import threading

import pytest

from flows.compute.worker_log import logged_to

CODE = logging.getLogger("flows.tracking.outages")


def test_what_the_package_warns_of_reaches_the_run_from_its_own_threads_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="run"), logged_to(logging.getLogger("run")):
        CODE.warning("MLflow does not answer for %d s", 3)
        CODE.info("too little to say")
        context = contextvars.copy_context()
        for target in (lambda: CODE.error("mine"), lambda: context.run(CODE.error, "given the context")):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    CODE.warning("afterwards")

    said = [record.getMessage() for record in caplog.records if record.name == "run"]
    assert said == ["MLflow does not answer for 3 s", "given the context"]


def test_two_stacks_of_one_process_do_not_hear_each_other(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        outer = contextvars.copy_context()
        with logged_to(logging.getLogger("run-a")):
            outer.run(lambda: _warn_in("run-b", "of b"))
            CODE.warning("of a")

    assert [(record.name, record.getMessage()) for record in caplog.records if record.name.startswith("run-")] == [
        ("run-b", "of b"),
        ("run-a", "of a"),
    ]


def _warn_in(run: str, text: str) -> None:
    with logged_to(logging.getLogger(run)):
        CODE.warning("%s", text)
