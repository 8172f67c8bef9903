#!/usr/bin/env bash
# ResNet-50 on ImageNet on all hosts of a Cloud TPU. Written for it, not yet run on one.
#
#   TPU=my-tpu ZONE=us-central2-b BUCKET=gs://my-bucket experiments/launch/cloud_tpu.sh
#
# Start it on your own machine, in the root of the repository, with gcloud logged in and
# the TPU made: `gcloud compute tpus tpu-vm create`, or as a queued resource. What stands
# behind the file name goes to the experiment. The repository is copied to every host
# and installed there; the run folder is in the bucket, as the hosts share no disk.
#
# A Spot TPU that is taken away gets a SIGTERM first: the run saves and ends. Make the
# TPU again and start this again with the same RUN: the run goes on.
set -euo pipefail

: "${TPU:?the name of the TPU}" "${ZONE:?its zone}" "${BUCKET:?gs://... for the run}"
EXPERIMENT=${EXPERIMENT:-experiments/imagenet_resnet50.py}
RUN=${RUN:-$BUCKET/runs/$(basename "$EXPERIMENT" .py)}
LOGS=${LOGS:-logs}

on_all_hosts() {
  gcloud compute tpus tpu-vm ssh "$TPU" --zone "$ZONE" --worker=all \
    --output-directory="$LOGS" --command "$1"
}

mkdir -p "$LOGS"
git archive --format=tar.gz --output="$LOGS/jaxcnn.tar.gz" HEAD
gcloud compute tpus tpu-vm scp "$LOGS/jaxcnn.tar.gz" "$TPU:jaxcnn.tar.gz" \
  --zone "$ZONE" --worker=all
on_all_hosts "mkdir -p jaxcnn && tar -xzf jaxcnn.tar.gz -C jaxcnn &&
  python3 -m pip install --quiet --editable './jaxcnn[tpu]'"

# gcloud starts the command on all hosts at once and keeps a log of each in $LOGS.
arguments=${*:+$(printf ' %q' "$@")}
on_all_hosts "cd jaxcnn && TFDS_DATA_DIR='${TFDS_DATA_DIR:-$BUCKET/tfds}' \
  python3 $EXPERIMENT --distributed --parallel mesh --run '$RUN' $arguments"
