#!/usr/bin/env bash
# ResNet-50 on ImageNet on several hosts under SLURM. Written for it, not yet run on one.
#
#   sbatch --nodes 2 --ntasks-per-node 8 --gpus-per-node 8 experiments/launch/slurm.sh
#   EXPERIMENT=experiments/digits_lenet.py sbatch --nodes 2 --ntasks-per-node 1 \
#       experiments/launch/slurm.sh --steps 200
#
# Start it in the root of the repository, on a file system that all hosts see. What
# stands behind the file name goes to the experiment. One task a GPU: JAX gives each task
# the GPU of its number on the host, so leave --gpus-per-task out. On CPUs one task a
# host.
#
# SLURM sends SIGTERM two minutes before the time limit, and when it wants the hosts for
# others: the run saves, ends with 143 on all hosts, and is queued again here. A task
# that dies ends the others in seconds, with 75, and the job is queued again as well, up
# to REQUEUES times (3). Any other error ends the job.
#
#SBATCH --job-name=jaxcnn
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log
set -euo pipefail

EXPERIMENT=${EXPERIMENT:-experiments/imagenet_resnet50.py}
PYTHON=${PYTHON:-.venv/bin/python}
RUN=${RUN:-runs/$(basename "$EXPERIMENT" .py)-${SLURM_JOB_ID:-local}}
REQUEUES=${REQUEUES:-3}

# JAX waits for ever behind a proxy that the hosts do not need among themselves.
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
mkdir -p "$RUN/logs"

# One log a task and start: logs/0-3.log is of task 3 of the first start.
code=0
srun --kill-on-bad-exit=0 \
  --output="$RUN/logs/${SLURM_RESTART_COUNT:-0}-%t.log" \
  "$PYTHON" "$EXPERIMENT" --distributed --parallel mesh --run "$RUN" "$@" || code=$?

# srun gives the highest code of its tasks: above 128 where a signal ended one.
if [ "$code" -ne 75 ] && [ "$code" -le 128 ]; then
  exit "$code"
fi
if [ "$code" -ne 143 ] && [ "${SLURM_RESTART_COUNT:-0}" -ge "$REQUEUES" ]; then
  echo "ended with $code after $REQUEUES new starts; see $RUN/logs" >&2
  exit "$code"
fi
echo "ended with $code: the job is queued again and goes on in $RUN"
scontrol requeue "$SLURM_JOB_ID"
