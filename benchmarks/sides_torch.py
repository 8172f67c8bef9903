"""PyTorch's train step and inference, as a user who wants speed would run them."""

import copy
from typing import Any

import numpy as np

from benchmarks.rows import Row
from benchmarks.torch_models import make_torch_model


class TorchSide:
    """One model in one variant: `eager`, `compile` or `traced`, `_cl` channels last."""

    def __init__(self, name: str, row: Row, variant: str, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        torch.manual_seed(0)
        self.torch, self.row = torch, row
        self.way, _, layout = variant.partition("_")
        last = torch.channels_last if layout else torch.contiguous_format
        self.model = make_torch_model(name, row.torch).to(memory_format=last)
        self.images, self.labels = self._batch(last)
        self.calls: dict[str, Any] = {}

    def _batch(self, layout: Any) -> tuple[Any, Any]:
        random = np.random.default_rng(0)
        height, width, channels = self.row.image
        shape = (self.row.batch, channels, height, width)
        images = self.torch.from_numpy(random.random(shape, np.float32))
        labels = random.integers(0, max(self.row.classes, 1), self.row.batch)
        return images.to(memory_format=layout), self.torch.from_numpy(labels)

    def facts(self) -> dict[str, int]:
        """Returns the trainable parameters and the multiply-adds of one image."""
        from torch.utils.flop_counter import FlopCounterMode

        params = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        counter = FlopCounterMode(display=False)
        with counter, self.torch.no_grad():
            copy.deepcopy(self.model).eval()(self.images[:1])
        return {"params": params, "macs": counter.get_total_flops() // 2}

    def prepare(self, kind: str) -> None:
        """Makes the call of a kind; the first of them compiles."""
        self.calls[kind] = self._train() if kind == "train" else self._infer()

    def run(self, kind: str, count: int) -> None:
        """Makes `count` calls and waits for the last."""
        for _ in range(count):
            self.calls[kind]()

    def _train(self) -> Any:
        torch, model = self.torch, copy.deepcopy(self.model).train()
        forward = torch.compile(model) if self.way == "compile" else model
        optimizer = torch.optim.SGD(
            model.parameters(), lr=0.01, momentum=0.9, fused=True
        )
        loss_of = torch.nn.functional.cross_entropy
        target = self.labels
        if not self.row.classes:
            loss_of, target = torch.nn.functional.mse_loss, self.images

        def step():
            optimizer.zero_grad(set_to_none=True)
            loss_of(forward(self.images), target).backward()
            optimizer.step()

        return step

    def _infer(self) -> Any:
        torch, model = self.torch, copy.deepcopy(self.model).eval()
        if self.way == "compile":
            # Folds norms into convolutions and packs weights, as for serving.
            torch._inductor.config.freezing = True
            model = torch.compile(model)
        if self.way == "traced":
            with torch.no_grad():
                traced = torch.jit.trace(model, self.images)
            model = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
        # Freezing needs no_grad: tensors of inference_mode have no version.
        context = torch.no_grad if self.way == "compile" else torch.inference_mode

        def predict():
            with context():
                model(self.images)

        return predict
