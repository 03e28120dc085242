"""A search whose layers are watched, as a person starts it."""

from pathlib import Path

import pytest

from tests.flows.commands import Store, train

pytestmark = pytest.mark.slow

SPACE = "{grid: {hidden: [[8, 4]], activation: [relu, sigmoid], learning_rate: [0.1], epochs: [12], batch_size: [16]}}"


@pytest.mark.usefixtures("server")
def test_the_norms_of_gradients_are_in_mlflow_where_they_are_asked_for_and_the_keys_are_the_same(
    tmp_path: Path,
) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    ran = train(
        tmp_path, "--data", "wine", "--space", "space.yaml", "--watch", "gradients", "--workers", "1", "--device", "cpu"
    )
    assert ran.returncode == 0, ran.stderr

    store = Store(tmp_path)
    children = store.children()
    assert len(children) == 2
    for child in children:
        for name in ("weight_norm", "gradient_norm"):
            for layer in (1, 2, 3):
                history = store.client.get_metric_history(child.info.run_id, f"layer/{layer}/{name}")
                assert [point.step for point in history] == [1, 2, 3, 4, 5, 7, 8, 9, 10, 12]
                assert all(point.value > 0 for point in history)
        assert 0 <= child.data.metrics["layer/1/dead_share"] <= 1
    # The trials are the same trials, watched or not.
    again = train(tmp_path, "--data", "wine", "--space", "space.yaml", "--workers", "1", "--device", "cpu")
    assert "nothing was trained" in again.stdout
