"""Which processes a run is made of: flags, and the start of all of them as one."""

import contextlib
import dataclasses
import re
import socket
from collections.abc import Iterator

import jax

from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.ending import Ending, deadline


@dataclasses.dataclass(frozen=True)
class Hosts:
    """The processes of a run; no part of what it computes, so not of its config.json.

    Raises:
        ValueError: if the fields contradict each other or are out of their range.
    """

    distributed: bool = False
    """Be one process of several, as SLURM, Open MPI, Cloud TPU or Kubernetes say."""
    coordinator: str | None = None
    """HOST:PORT of the first process, where no cluster says so."""
    processes: int | None = None
    """With --coordinator: how many processes there are."""
    process: int | None = None
    """With --coordinator: which of them this one is, from 0."""
    start_timeout: int = 300
    """Seconds to wait for all processes at the start."""
    heartbeat_timeout: int = 20
    """Seconds of silence after which a process counts as dead."""

    def __post_init__(self):
        addresses = {
            "--coordinator": self.coordinator,
            "--processes": self.processes,
            "--process": self.process,
        }
        missing = [flag for flag, value in addresses.items() if value is None]
        if 0 < len(missing) < 3:
            raise ValueError(
                "--coordinator, --processes and --process go together; not given: "
                f"{', '.join(missing)}."
            )
        for flag, value in {
            "--start-timeout": self.start_timeout,
            "--heartbeat-timeout": self.heartbeat_timeout,
        }.items():
            if value < 1:
                raise ValueError(f"{flag} must be 1 or more seconds, got {value}.")
        if self.coordinator is not None:
            self._check_addresses()

    def _check_addresses(self) -> None:
        if not re.fullmatch(r"\S+:\d{1,5}", self.coordinator):
            raise ValueError(
                f"--coordinator must be HOST:PORT, got {self.coordinator!r}."
            )
        if self.processes < 1:
            raise ValueError(f"--processes must be 1 or more, got {self.processes}.")
        if not 0 <= self.process < self.processes:
            raise ValueError(
                f"--process must be from 0 to {self.processes - 1}, the last of "
                f"{self.processes} processes, got {self.process}."
            )

    @property
    def several(self) -> bool:
        """Whether this process is to join others."""
        return self.distributed or self.coordinator is not None


@contextlib.contextmanager
def together(hosts: Hosts) -> Iterator[None]:
    """Joins the processes of a run, and ends with them.

    Nothing may have touched a device before. An error inside, whatever it is, is
    printed as one line, told to the other processes, and ends all of them: the program
    does not go on behind the context. Without `hosts.several` nothing happens.

    Args:
        hosts: Which processes.

    Raises:
        ValueError: if there is no cluster to be found, or no way to start.

    Example:
        >>> with together(Hosts()):
        ...     pass  # train
    """
    if not hosts.several:
        yield
        return
    _initialize(hosts)
    with Ending():
        yield


def require_mesh(config: ExperimentConfig) -> None:
    """Raises ValueError where several processes would each train for themselves."""
    count = jax.process_count()
    if count > 1 and config.parallel in ("jit", "pmap"):
        raise ValueError(
            f"parallel is {config.parallel!r}, which is for one process; {count} "
            "processes need parallel 'mesh': give --parallel mesh."
        )


def _initialize(hosts: Hosts) -> None:
    # JAX's own handler of SIGTERM would swallow the signals before the first step.
    jax.config.update("jax_enable_preemption_service", False)
    addresses = {}
    if hosts.coordinator is not None:
        if hosts.process == 0:
            _require_free(hosts.coordinator)
        addresses = {
            "coordinator_address": hosts.coordinator,
            "num_processes": hosts.processes,
            "process_id": hosts.process,
            # What a cluster says beside the flags could contradict them.
            "cluster_detection_method": "deactivate",
        }
    late = f"Not all processes of the run were there within {hosts.start_timeout} s"
    if hosts.coordinator is not None:
        late += f": {hosts.processes} of them at {hosts.coordinator}"
    with deadline(
        hosts.start_timeout,
        f"{late}. Start them all, and see that they reach the first one.",
    ):
        try:
            jax.distributed.initialize(
                **addresses,
                # Where its time is up JAX aborts: the line above comes before.
                initialization_timeout=hosts.start_timeout + 60,
                heartbeat_timeout_seconds=hosts.heartbeat_timeout,
            )
        except (RuntimeError, ValueError, TypeError, OSError) as error:
            raise ValueError(_explained(error, hosts)) from error


def _require_free(address: str) -> None:
    """Raises ValueError where nothing can listen on the port: JAX would crash."""
    try:
        socket.create_server(("", int(address.rpartition(":")[2]))).close()
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"The first process cannot listen on {address}: is the port in use? "
            f"({error})"
        ) from error


def _explained(error: Exception, hosts: Hosts) -> str:
    """Returns what an error of `jax.distributed.initialize` says to a user."""
    text = str(error)
    if "should be defined" in text or "must be defined" in text:
        return (
            "--distributed found no cluster: neither SLURM, Open MPI, Cloud TPU nor "
            "Kubernetes started this process. Start it there, or give --coordinator "
            "HOST:PORT --processes N --process I."
        )
    if "RPC server" in text:
        where = hosts.coordinator or "the port that the cluster chose"
        return f"The first process cannot listen on {where}: is the port in use?"
    if "before any JAX" in text or "only be called once" in text:
        return (
            "The processes must be joined before anything uses a device, and once. Does"
            " the experiment file compute something when it is loaded?"
        )
    return f"The processes could not be joined: {text}"
