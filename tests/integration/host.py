"""One process of a run of several, started as the command line does.

    python -m tests.integration.host ADDRESS PROCESSES PROCESS DEVICES RUN [WHERE]

The small run of `training.py` over a mesh of DEVICES devices a process. WHERE is
`step:7` (SIGKILL right after that step was dispatched), `term:7` (SIGTERM there),
`writing:8` or `saving:8` (SIGKILL before the first file of that save, or before the
checkpoint is complete), `raise:7` (batch 7 cannot be made), or `wait:7` (after step 7
it waits in a barrier to which nobody comes).
"""

import dataclasses
import os
import signal
import sys


def main(address, processes, process, devices, run, where=""):
    os.environ["XLA_FLAGS"] = (
        f"--xla_force_host_platform_device_count={devices} "
        "--xla_backend_optimization_level=0"
    )
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    jax.config.update("jax_default_matmul_precision", "float32")
    from jaxcnn.experiment.hosts import Hosts
    from jaxcnn.experiment.main import exit_cleanly
    from jaxcnn.experiment.main import run as start

    hosts = Hosts()
    if int(processes) > 1:
        hosts = Hosts(
            coordinator=address,
            processes=int(processes),
            process=int(process),
            start_timeout=120,
            heartbeat_timeout=int(os.environ.get("HEARTBEAT", "20")),
        )
    break_at(*where.partition(":")[::2])
    exit_cleanly(lambda: start(configuration(run), hosts=hosts))


def configuration(run):
    """Returns the run of `training.py` over a mesh, of $STEPS steps."""
    from jaxcnn.experiment import OptimizerConfig
    from tests.integration import training

    return dataclasses.replace(
        training.config(run),
        parallel="mesh",
        steps=int(os.environ.get("STEPS", "12")),
        optimizer=OptimizerConfig("momentum", 0.02),
    )


def break_at(kind, step):
    """Makes the run break where it is told to."""
    from jaxcnn.experiment import training as runs
    from jaxcnn.train import Hook

    class KillAt(Hook):
        def __init__(self, number):
            self.number = number

        def on_step(self, loop):
            if loop.step == int(step):
                os.kill(os.getpid(), self.number)

    class Barrier(Hook):
        def on_step(self, loop):
            if loop.step == int(step):
                from jax._src import distributed

                print("waiting", file=sys.stderr, flush=True)
                distributed.global_state.client.wait_at_barrier("nobody", 10**6)

    hooks = {
        "step": lambda: KillAt(signal.SIGKILL),
        "term": lambda: KillAt(signal.SIGTERM),
        "wait": Barrier,
    }
    if kind in hooks:
        plain = runs._hooks
        runs._hooks = lambda *args: [
            *plain(*args)[:1],
            hooks[kind](),
            *plain(*args)[1:],
        ]
    elif kind == "raise":
        spoil_batch(int(step))
    elif kind:
        kill_inside({"writing": "start", "saving": "finish"}[kind], int(step))


def kill_inside(method, step):
    """Makes a method of the checkpoint folder kill the process at a step."""
    from jaxcnn.checkpoint.folder import StepFolders

    plain = getattr(StepFolders, method)

    def killing(self, at, *args):
        if at == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(self, at, *args)

    setattr(StepFolders, method, killing)


def spoil_batch(number):
    from jaxcnn.data import TrainData

    plain = TrainData.__getitem__

    def broken(self, k):
        if k == number:
            raise ValueError("The picture 000123.jpg is cut short.")
        return plain(self, k)

    TrainData.__getitem__ = broken


if __name__ == "__main__":
    main(*sys.argv[1:])
