"""What a VQ-GAN is trained on: reconstruction, perceptual distance, commitment, and a patch critic
(Esser et al., 2021).
"""

from typing import Annotated

import torch
from pydantic import Discriminator, Tag
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from pipeline.codecs.bottlenecks import Averages, EMACodebook, Gumbel, GumbelRelaxation
from pipeline.codecs.critic import Critic, PatchCritic, Perceptual, VGGDistance
from pipeline.codecs.quantisers import GumbelQuantiser, NearestQuantiser
from pipeline.codecs.training import Batches, Losses
from pipeline.codecs.vqgan import VQGAN
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Section, Weight
from pipeline.runtime.seeds import torch_generator


def _kind_of(bottleneck: object) -> str:
    """Which of the two a section describes: a temperature is the Gumbel quantiser's."""
    if isinstance(bottleneck, dict):
        return "gumbel" if "temperature" in bottleneck else "averages"
    return "gumbel" if isinstance(bottleneck, Gumbel) else "averages"


class VQGANObjective(Section):
    """Weights of the terms; `perceptual` and `critic` may be null. The published models: l1 1, l2
    0, perceptual weight 1, commitment 0.25 (nearest) or 1e-8 (Gumbel: the divergence), critic
    weight 0.75 from step 250,001 on.

    `bottleneck` belongs to the quantiser: averages for `nearest`, a temperature for `gumbel`.
    """

    l1: Weight = 1.0
    l2: Weight
    commitment: Weight = 0.25
    bottleneck: Annotated[
        Annotated[Averages, Tag("averages")] | Annotated[Gumbel, Tag("gumbel")],
        Discriminator(_kind_of),
    ]
    perceptual: Perceptual | None = None
    critic: Critic | None = None


class VQGANLearner(nn.Module):
    """A VQ-GAN with its losses and, if asked for, its critic: all are learned by one optimiser in
    one backward pass.

    The critic sees the reconstruction detached; the codec's adversarial term goes through a
    detached copy of the critic's parameters. Neither therefore disturbs the other's gradient.
    """

    def __init__(self, codec: VQGAN, settings: VQGANObjective, keep_codebook: bool = False):
        """With `keep_codebook` (fine-tuning published weights) the codewords stay where they are at
        the start.
        """
        super().__init__()
        self.codec, self.settings = codec.requires_grad_(True), settings
        self.keep_codebook = keep_codebook
        self.bottleneck = _bottleneck(codec, settings.bottleneck)
        self.perceptual = VGGDistance(settings.perceptual) if settings.perceptual else None
        self.critic = (
            PatchCritic(settings.critic, codec.architecture.ddconfig.out_ch)
            if settings.critic
            else None
        )

    @torch.no_grad()
    def start(self, batches: Batches, batch_size: int, seed: int) -> None:
        """Places the codewords on the latents of the first batches."""
        if self.keep_codebook:
            return
        device = self.codec.decoder.last_layer.device
        latents = torch.cat(
            [self.codec.latent(batches(index, batch_size).to(device)) for index in range(4)]
        )
        self.bottleneck.start(latents, torch_generator(seed, "codebook", device=device))

    def forward(self, images: Tensor, step: int, generator: torch.Generator) -> Losses:
        """The losses for images [B, 3, H, W] in [0, 1]."""
        s = self.settings
        quantised = self.bottleneck(self.codec.latent(images), step, generator)
        output = self.codec.synthesise(quantised.latent).float()
        difference = output - images
        terms = {
            "l1": difference.abs().mean(),
            "l2": difference.square().mean(),
            "commitment": quantised.loss,
        }
        reconstruction = s.l1 * terms["l1"] + s.l2 * terms["l2"]
        if self.perceptual and s.perceptual:
            terms["perceptual"] = self.perceptual(output, images)
            reconstruction = reconstruction + s.perceptual.weight * terms["perceptual"]
        total = reconstruction + s.commitment * quantised.loss
        if self.critic and s.critic and step >= s.critic.start:
            wish, judged = _adversarial(self.critic, output, images)
            terms["adversarial"], terms["critic"] = wish, judged
            balance = s.critic.weight * self._balance(reconstruction, wish)
            total = total + balance * wish + judged
        return Losses(total, terms, quantised.codes)

    def _balance(self, reconstruction: Tensor, adversarial: Tensor) -> Tensor:
        """The ratio of both gradients at the decoder's last layer (Esser et al., Eq. 7)."""
        last = self.codec.decoder.last_layer
        (wanted,) = torch.autograd.grad(reconstruction, last, retain_graph=True)
        (given,) = torch.autograd.grad(adversarial, last, retain_graph=True)
        return (wanted.norm() / (given.norm() + 1e-4)).clamp(0, 1e4).detach()


def _bottleneck(codec: VQGAN, settings: Averages | Gumbel) -> EMACodebook | GumbelRelaxation:
    """How the codec's quantiser learns; raises UserError when the settings are another's."""
    match codec.quantiser, settings:
        case GumbelQuantiser() as quantiser, Gumbel():
            return GumbelRelaxation(quantiser, settings)
        case NearestQuantiser() as quantiser, Averages():
            return EMACodebook(quantiser.requires_grad_(False), settings)
    kind, given = codec.architecture.quantiser, type(settings).__name__
    raise UserError(f"A {kind} quantiser does not go with the bottleneck settings {given}.")


def _adversarial(critic: PatchCritic, output: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """The codec's wish to please the critic, and the critic's hinge loss on both kinds of
    image.
    """
    frozen = {name: parameter.detach() for name, parameter in critic.named_parameters()}
    wish = -functional_call(critic, frozen, (output,)).mean()
    judged = F.relu(1 - critic(images)).mean() + F.relu(1 + critic(output.detach())).mean()
    return wish, judged / 2
