"""`backprop train`."""

from typing import Annotated

import typer

from flows.cli.exits import Exits, console
from flows.cli.options import (
    DATA,
    CheckpointSeconds,
    Cluster,
    Datasets,
    Device,
    Experiment,
    Preparation,
    QueueSeconds,
    Scheduler,
    SplitBy,
    SplitColumn,
    SplitSeed,
    StackSeconds,
    Target,
    Task,
    Test,
    Validation,
    Verbose,
    Watch,
    WorkerMemory,
    Workers,
    settle_settings,
    split_of,
    train_parameters,
)
from flows.configurations import check_before_data
from flows.errors import SpaceError
from flows.parameters import TrainParameters
from flows.spaces import bundled_spaces, load_space

app = typer.Typer()


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "backprop train --data wine --space quick\n\n"
    "backprop train --data churn.csv --target churned --space my-space.yaml\n\n"
    "backprop train --data s3://bucket/visits/ --target sold --split-by time --split-column day\n\n"
    "backprop train --data idx:/usr/share/datasets/fashion-mnist --space fashion-mnist"
)
def train(
    data: Annotated[str, typer.Option(help=DATA)] = "digits",
    target: Target = None,
    space: Annotated[str, typer.Option(help=f"Search space: {', '.join(bundled_spaces())}, or a YAML file.")] = "quick",
    task: Task = "auto",
    preparation: Preparation = None,
    split_by: SplitBy = "random",
    split_column: SplitColumn = None,
    validation: Validation = 0.15,
    test: Test = 0.15,
    split_seed: SplitSeed = 0,
    cluster: Cluster = "local",
    workers: Workers = None,
    worker_memory: WorkerMemory = None,
    scheduler: Scheduler = None,
    queue_seconds: QueueSeconds = 3600.0,
    device: Device = "auto",
    checkpoint_seconds: CheckpointSeconds = 30.0,
    stack_seconds: StackSeconds = None,
    watch: Watch = "layers",
    experiment: Experiment = None,
    model: Annotated[str | None, typer.Option(help="Registered model; the experiment's name if not given.")] = None,
    datasets: Datasets = "datasets",
    verbose: Verbose = False,
) -> None:
    """Train a grid of networks, test the winner, register it.

    Trials that are finished already are not trained again: the same command run twice trains nothing the
    second time, and after a kill it goes on from the last checkpoint. Runs go to MLflow, sqlite:///mlflow.db
    unless MLFLOW_TRACKING_URI says otherwise.
    """
    with Exits(verbose):
        parameters = train_parameters(
            data=data,
            target=target or None,
            space=space,
            task=task,
            preparation=preparation,
            experiment=experiment,
            model=model,
            datasets=datasets,
            split=split_of(split_by, split_column, validation, test, split_seed),
            compute={
                "cluster": cluster,
                "workers": workers,
                "worker_memory": worker_memory,
                "scheduler": scheduler,
                "queue_seconds": queue_seconds,
                "device": device,
                "checkpoint_seconds": checkpoint_seconds,
                "stack_seconds": stack_seconds,
                "watch": watch,
            },
        )
        check_early(parameters)
        settle_settings(verbose)
        # Bad usage has been answered by now. What takes seconds to start does so while this process imports.
        from flows.compute.temporary_server import TemporaryServer

        server = TemporaryServer.if_needed()
        from flows.compute.local_cluster import cluster_ahead

        with cluster_ahead(parameters.compute):
            # Prefect reads its settings when it is imported: not before they are settled.
            from flows.terminal.train import run_train

            run_train(parameters, console, server)


def check_early(parameters: TrainParameters) -> None:
    """Find at once what would otherwise be found after Prefect has started."""
    from flows.data.declarations import read_own_plan
    from flows.data.root import open_root
    from flows.data.sources import open_source, require_targets
    from flows.data.splitting import require_split_column

    plan = read_own_plan(parameters.preparation)
    source = open_source(parameters.data)
    targets = require_targets(source, parameters.targets or (plan.target if plan else ()))
    require_split_column(source, targets, parameters.split)
    open_root(parameters.datasets)
    if parameters.compute.cluster == "slurm":
        from flows.compute.slurm_cluster import require_slurm

        require_slurm()
    try:
        check_before_data(load_space(parameters.space))
    except SpaceError as error:
        where = "" if parameters.space in str(error) else f"{parameters.space}: "
        raise SpaceError(f"{where}{error}") from error
