"""ResNet-50 at 224 in bfloat16 on an accelerator: images/s, share of the peak.

    python -m benchmarks.accelerator                      # needs a GPU or a TPU
    python -m benchmarks.accelerator --batch 256 --steps 20 --rounds 10
    python -m benchmarks.accelerator --size small         # a tiny net, tries it out

A train step (SGD with momentum, label smoothing 0.1) on synthetic uint8 images that lie
on the device; ours with a call of one step and with a call of several (`make_steps`,
scanned), against PyTorch's ResNet-50 under `torch.compile(mode="max-autotune")`,
channels last, bfloat16 autocast, fused SGD, where PyTorch sees the same device. The
ways take turns in every round; a round is so many steps, waited for at its end.
Compilation is timed apart. MFU is 3 x 2 x multiply-adds x images/s over the published
peak. A JSON file with hardware, versions, flags and commit goes to benchmarks/results/.

Written for GPUs and TPUs, not yet run on one.
"""

import argparse
import importlib.util
import os
import time

# Else JAX would take three quarters of the memory, which PyTorch needs too.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np

import jaxcnn
from benchmarks.record import environment, write_results
from benchmarks.rounds import quartiles
from jaxcnn.optim import make_optimizer
from jaxcnn.train import make_steps, model_flop_utilization, peak_flops

#: Model, image size, classes, batch size.
SIZES = {
    "full": ("resnet50", 224, 1000, 256),
    "small": ("resnet20_cifar", 8, 10, 2),
}
_OURS = {"jaxcnn": 1, "jaxcnn, several steps a call": None}
_TORCH = "torch.compile, channels last"
_KEPT = ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "NVIDIA_TF32_OVERRIDE", "TORCHINDUCTOR_FLAGS")


def require_accelerator(size):
    """Raises ValueError if the full size would run on a CPU."""
    if size == "full" and jax.default_backend() == "cpu":
        raise ValueError(
            "No accelerator: JAX sees CPUs alone, on which this would take hours. Try "
            "--size small, or python -m benchmarks for CPUs."
        )


def synthetic(size, classes, batch):
    """Returns a batch of random images and labels."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    return {"image": images, "label": random.integers(0, classes, batch).astype("i4")}


def our_call(name, classes, batch, steps_per_call):
    """Returns `call()`, which makes some steps on data on the device, not waited for.

    Its attribute `wait` waits for them.
    """
    model = jaxcnn.create_model(name, num_classes=classes, dtype="bfloat16")
    tx = make_optimizer("momentum", 0.1, weight_decay=1e-4)
    task = jaxcnn.classification(label_smoothing=0.1)
    step = jaxcnn.make_train_step(model, tx, task)
    state = jaxcnn.init_state(model, tx, jax.random.key(0), batch["image"])
    batch = jax.device_put(batch)
    count = len(batch["label"])
    if steps_per_call == 1:
        compiled, given = jax.jit(step, donate_argnums=0), (batch,)
    else:
        rows = np.tile(np.arange(count, dtype=np.int32), (steps_per_call, 1))
        epoch = np.zeros(steps_per_call, np.int32)
        compiled = jax.jit(make_steps(step, loop="scan"), donate_argnums=0)
        given = (batch, jax.device_put({"index": rows, "epoch": epoch}))
    box = {"state": state}

    def call():
        box["state"], _ = compiled(box["state"], *given)

    call.wait = lambda: jax.block_until_ready(box["state"].params)
    call.steps = steps_per_call
    return call


def torch_call(name, classes, batch, device):
    """Returns PyTorch's step on the same batch, see `our_call`."""
    import torch

    torch.backends.cudnn.benchmark = True
    if name == "resnet50":
        import torchvision

        net = torchvision.models.resnet50(num_classes=classes)
    else:  # any net of PyTorch's tries the calls out
        net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(8, classes),
        )
    net = net.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4, fused=True
    )
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    images = torch.from_numpy(batch["image"].transpose(0, 3, 1, 2)).to(device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(batch["label"]).long().to(device)

    def forward(images, labels):
        with torch.autocast(device, torch.bfloat16):
            return loss_of(net(images.float() / 255), labels)

    if device != "cpu":
        forward = torch.compile(forward, mode="max-autotune")

    def call():
        forward(images, labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    call.wait = torch.cuda.synchronize if device != "cpu" else lambda: None
    call.steps = 1
    return call


def torch_device():
    """Returns the device of PyTorch that is JAX's, or None if it has none."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    on_gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
    return "cuda" if on_gpu else "cpu" if jax.default_backend() == "cpu" else None


def timed(call, steps):
    """Returns the seconds of at least so many steps, and how many were made."""
    start, made = time.perf_counter(), 0
    while made < steps:
        call()
        made += call.steps
    call.wait()
    return time.perf_counter() - start, made


def measure(size, batch_size=None, steps=20, rounds=10, *, torch=None):
    """Returns a row of figures for every way of making a step.

    Args:
        size: `"full"` or `"small"`.
        batch_size: Images of a step; by default the size's own.
        steps: Steps of a round, and of a call of several.
        rounds: How often each way has its turn.
        torch: PyTorch's device, or None to leave it out.

    Raises:
        ValueError: without an accelerator, for the full size.
    """
    require_accelerator(size)
    name, pixels, classes, usual = SIZES[size]
    batch = synthetic(pixels, classes, batch_size or usual)
    ways = {
        way: lambda k=k: our_call(name, classes, batch, k or steps)
        for way, k in _OURS.items()
    }
    if torch is not None:
        ways[_TORCH] = lambda: torch_call(name, classes, batch, torch)
    calls, times = {}, {way: [] for way in ways}
    compiled = {}
    for way, make in ways.items():
        calls[way] = make()
        compiled[way] = timed(calls[way], 1)[0]
        timed(calls[way], steps)
    for _ in range(rounds):
        for way, call in calls.items():
            seconds, made = timed(call, steps)
            times[way].append(seconds / made)
    model = jaxcnn.create_model(name, num_classes=classes)
    macs = jaxcnn.summarize(model, (1, pixels, pixels, 3)).macs
    return [
        _row(way, times[way], compiled[way], len(batch["label"]), macs) for way in ways
    ]


def _row(way, times, compiled, batch, macs):
    low, middle, high = quartiles(times)
    speed = batch / middle
    peak = peak_flops(jax.devices()[0].device_kind, jnp.bfloat16)
    return {
        "way": way,
        "batch": batch,
        "images_per_second": round(speed, 1),
        "middle_half": [round(batch / t, 1) for t in (high, low)],
        "mfu": peak and round(model_flop_utilization(speed, macs, peak), 4),
        "first_call_seconds": round(compiled, 2),
        "macs": macs,
    }


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accelerator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--batch", type=int, help="images of a step")
    parser.add_argument("--steps", type=int, default=20, help="of a round")
    parser.add_argument("--rounds", type=int, default=10, help="2 or more")
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
    flags = parser.parse_args()
    device = None if flags.no_torch else torch_device()
    try:
        rows = measure(
            flags.size, flags.batch, flags.steps, max(flags.rounds, 2), torch=device
        )
    except ValueError as error:
        parser.error(str(error))
    for row in rows:
        share = "" if row["mfu"] is None else f", MFU {100 * row['mfu']:.1f} %"
        print(
            f"{row['way']:<30} batch {row['batch']}: "
            f"{row['images_per_second']:,.0f} images/s{share}; first call "
            f"{row['first_call_seconds']:.1f} s"
        )
    about = environment() | {
        "size": flags.size,
        "dtype": "bfloat16",
        "layout": "NHWC, inside the program as XLA chooses; PyTorch: channels last",
        "flags": {name: os.environ[name] for name in _KEPT if name in os.environ},
    }
    write_results(f"accelerator-{flags.size}", about, rows)


if __name__ == "__main__":
    main()
