"""What is timed: training steps and reverse steps of one case, by the fast core and by the
textbook.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from benchmarks.cases import N_NEGATIVES, BenchNetwork, Case
from benchmarks.textbook import TextbookDenoiser, TextbookDiffusion
from pipeline.diffusion.contrast import Contrast
from pipeline.diffusion.losses import Targets, head_terms
from pipeline.diffusion.objective import Loss, Objective
from pipeline.diffusion.process import MaskAndReplace, uniform
from pipeline.diffusion.sampler import Reverse, Sampling, prepared
from pipeline.diffusion.truncation import N_NOISE
from pipeline.runtime.seeds import torch_generator

WEIGHT, AUXILIARY, TRUNCATION = 5e-5, 5e-4, 0.86
SETTINGS = {
    "vanilla": "vanilla",
    "step, one chain": "step_intra",
    "sample": "sample_intra",
    "step, N chains": "step_intra",
}


def contrast(chains: str, per_step: int | None = None) -> Contrast:
    """The paper's contrast with the given chains."""
    return Contrast(
        form="difference",
        chains=chains,
        scale="mean",
        keep_positive=False,
        intra_weight=WEIGHT,
        inter_weight=WEIGHT,
        direction="decreasing",
        temperature=1.0,
        negatives_per_step=per_step,
        contrastive_steps=None,
        cap=None,
    )


@dataclass
class Bench:
    """One case on one device in one precision; `bf16` is autocast."""

    case: Case
    device: torch.device
    batch: int
    bf16: bool = False
    compiled: bool = False

    def __post_init__(self) -> None:
        self.process: MaskAndReplace = self.case.process()
        self.network: BenchNetwork = self.case.network().to(self.device)
        self.diffusion = TextbookDiffusion(self.process, self.device)
        self.x_0, self.inputs, self.negatives = self.case.data(self.batch, self.device)
        if self.compiled:
            self.network.features = torch.compile(self.network.denoiser.features)

    @cached_property
    def textbook(self) -> TextbookDenoiser:
        """The network by the book, with the same weights."""
        return TextbookDenoiser(self.network.denoiser).to(self.device)

    @property
    def size(self) -> str:
        """The size of network and batch, in words."""
        case = self.case
        return (
            f"{case.layers} x {case.width}, L {case.length}, K {case.n_codes}, batch {self.batch}"
        )

    @property
    def spec(self) -> tuple:
        """What makes the same bench in another process."""
        return self.case, self.device, self.batch, self.bf16, self.compiled

    def generator(self) -> torch.Generator:
        """The same noise for every run."""
        return torch_generator(0, "run", device=self.device)

    def precision(self):
        """The autocast of this bench."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def training(self, setting: str) -> dict[str, Callable[[], Tensor]]:
        """A training step by both sides."""
        return {"textbook": self.textbook_training(setting), "fast": self.fast_training(setting)}

    def fast_training(self, setting: str, per_step: int | None = None) -> Callable[[], Tensor]:
        """A training step without the optimiser."""
        chains = "parallel" if setting == "step, N chains" else "released"
        loss = Loss(
            t_sampling="uniform",
            auxiliary_weight=AUXILIARY,
            auxiliary_direction="constant",
            null_probability=0,
        )
        objective = Objective(self.process, loss, SETTINGS[setting], contrast(chains, per_step)).to(
            self.device
        )

        def run() -> Tensor:
            with self.precision():
                terms = objective(
                    self.network, self.x_0, self.inputs, self.generator(), self.negatives
                )
            self.network.zero_grad()
            terms.total.backward()
            return terms.total.detach()

        return run

    def textbook_training(self, setting: str) -> Callable[[], Tensor]:
        """The same step by the book."""
        kind = {"vanilla": "vanilla", "step, one chain": "step", "sample": "sample"}[setting]

        def run() -> Tensor:
            generator = self.generator()
            t = torch.randint(
                1, self.process.n_steps + 1, (self.batch,), generator=generator, device=self.device
            )
            log_x_t = self.diffusion.q_sample(self.x_0, t, generator)
            with self.precision():
                logits = self.textbook(log_x_t.argmax(1), t, self.inputs["condition"])
            total = self.weigh(
                self.diffusion.loss(logits, self.x_0, log_x_t, t, self.negatives["intra"], kind), t
            )
            self.textbook.zero_grad()
            total.backward()
            return total.detach()

        return run

    def weigh(self, losses: dict[str, Tensor], t: Tensor) -> Tensor:
        """The textbook's losses as one number, like the objective's total."""
        total = losses["step"] + AUXILIARY * losses["sample"]
        if "negative" in losses:
            total = total - WEIGHT * (2 - (t - 1) / self.process.n_steps) * losses["negative"].mean(
                1
            )
        return total.sum() * self.process.n_steps / self.x_0.numel()

    def pass_of(self, count: int = 1) -> Callable[[], None]:
        """One forward and backward of network and head for `count` times the batch, with no loss at
        all.
        """
        x_t = self.process.q_sample(
            self.x_0, torch.full((self.batch,), self.middle, device=self.device), self.generator()
        )
        t = torch.full((self.batch * count,), self.middle, device=self.device)

        def run() -> None:
            condition = self.network.encode(self.inputs)
            with self.precision():
                condition = self.network.prepare(condition).repeat(count)
                hidden = self.network.features(x_t.repeat_interleave(count, 0), t, condition)
                total = self.network.output(hidden).sum()
            self.network.zero_grad()
            total.backward()

        return run

    @property
    def middle(self) -> int:
        """The step in the middle, at which about half the positions are masked."""
        return self.process.n_steps // 2

    def reverse(self) -> dict[str, Callable[[], Tensor]]:
        """One reverse step from the middle of the chain, by both sides."""
        t = torch.full((self.batch,), self.middle, device=self.device)
        x_t = self.process.q_sample(self.x_0, t, self.generator())
        config = Sampling(
            steps=self.process.n_steps,
            truncation=TRUNCATION,
            temperature=1,
            guidance=1,
            order="random",
            choice_temperature=0,
        )
        with torch.no_grad(), self.precision():
            condition = prepared(self.network, self.network.encode(self.inputs), config.guidance)
        reverse = Reverse(self.network, self.process, config, condition, self.case.grid)
        fixed = torch.zeros_like(x_t, dtype=torch.bool)

        @torch.no_grad()
        def fast() -> Tensor:
            with self.precision():
                noise = uniform((*x_t.shape, 2 + N_NOISE), self.generator(), self.device)
                return reverse.random(x_t, self.middle, self.middle - 1, noise, fixed)

        log_x_t = self.diffusion.log_onehot(x_t)

        @torch.no_grad()
        def textbook() -> Tensor:
            with self.precision():
                logits = self.textbook(log_x_t.argmax(1), t, self.inputs["condition"])
            return self.diffusion.reverse(logits, log_x_t, t, TRUNCATION, self.generator()).argmax(
                1
            )

        return {"textbook": textbook, "fast": fast}

    def head(self, setting: str) -> dict[str, Callable[[], object]]:
        """Output layer and losses alone, forward and backward."""
        kind, t = (
            {"vanilla": "vanilla", "step, one chain": "step", "sample": "sample"}[setting],
            self.middle,
        )
        t = torch.full((self.batch,), t, device=self.device)
        x_t = self.process.q_sample(self.x_0, t, self.generator())
        hidden = torch.randn(
            self.batch, self.case.length, self.case.width, device=self.device, requires_grad=True
        )
        output: nn.Linear = self.network.output
        tokens = (
            self.x_0[:, None]
            if kind == "vanilla"
            else torch.cat([self.x_0[:, None], self.negatives["intra"]], 1)
        )
        weight = torch.zeros(self.batch, tokens.shape[1], device=self.device)
        weight[:, 0] = self.process.n_steps / self.x_0.numel()
        push = torch.zeros_like(weight)
        push[:, 1:] = -weight[:, :1] * WEIGHT / N_NEGATIVES
        own = torch.zeros_like(weight)
        own[:, 0] = AUXILIARY * weight[:, 0]
        step, sample = (weight, own + push) if kind == "sample" else (weight + push, own)
        targets = Targets(
            tokens, step, sample, torch.full((tokens.shape[1],), torch.inf, device=self.device)
        )
        log_x_t = self.diffusion.log_onehot(x_t)

        def fast() -> None:
            with self.precision():
                total = head_terms(hidden, output, self.process, x_t, t, targets).total
            torch.autograd.grad(total, [hidden, *output.parameters()])

        def textbook() -> None:
            with self.precision():
                logits = output(hidden).transpose(1, 2)
            total = self.weigh(
                self.diffusion.loss(logits, self.x_0, log_x_t, t, self.negatives["intra"], kind), t
            )
            torch.autograd.grad(total, [hidden, *output.parameters()])

        return {"textbook": textbook, "fast": fast}

    def agreement(self) -> float:
        """The largest relative difference between the two sides' losses, at one x_t, over all
        settings that both have.
        """
        t = torch.full((self.batch,), self.middle, device=self.device)
        x_t = self.process.q_sample(self.x_0, t, self.generator())
        tokens = torch.cat([self.x_0[:, None], self.negatives["intra"]], 1)
        nothing = torch.zeros(self.batch, tokens.shape[1], device=self.device)
        targets = Targets(
            tokens, nothing, nothing, torch.full((tokens.shape[1],), torch.inf, device=self.device)
        )
        with torch.no_grad():
            hidden = self.network.features(x_t, t, self.network.encode(self.inputs))
            fast = head_terms(hidden, self.network.output, self.process, x_t, t, targets)
            logits = self.textbook(x_t, t, self.inputs["condition"])
            given = logits, self.x_0, self.diffusion.log_onehot(x_t), t, self.negatives["intra"]
            slow = {kind: self.diffusion.loss(*given, kind) for kind in ("step", "sample")}
        pairs = [
            (fast.step[:, 0], slow["step"]["step"]),
            (fast.sample[:, 0], slow["step"]["sample"]),
        ]
        pairs += [
            (fast.step[:, 1:], slow["step"]["negative"]),
            (fast.sample[:, 1:], slow["sample"]["negative"]),
        ]
        return max(float(((a - b) / b).abs().max()) for a, b in pairs)


def one_side(spec: tuple, side: str, rows: str, *of: str) -> dict[str, Callable[[], object]]:
    """The run of one side only, by its name; `rows` is the method of Bench that makes both."""
    return {side: getattr(Bench(*spec), rows)(*of)[side]}


def chain_names(n: int) -> tuple[str, ...]:
    """The runs of `chain_runs` in their order: bare passes, all N parallel chains, a subset of one
    and of three.
    """
    return (f"{n + 1} network passes", "all", f"1 of {n}", f"3 of {n}")


def chain_runs(spec: tuple, n: int) -> dict[str, Callable[[], object]]:
    """The runs that show what N parallel chains cost."""
    bench = Bench(*spec)
    steps = (bench.fast_training("step, N chains", per_step) for per_step in (None, 1, 3))
    return dict(zip(chain_names(n), (bench.pass_of(n + 1), *steps), strict=True))
