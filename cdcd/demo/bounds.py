"""How much the page takes: of a file, of seconds, of words, of variants at once."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.errors import UserError
from pipeline.scoring.sounds import rate_and_length

MOST_LETTERS = 5000
SOUND_SECONDS = 900  # of which only as much as the dance lasts is used; all is decoded


@dataclass(frozen=True)
class Bounds:
    """Most megabytes of an uploaded file, seconds of a dance, and variants of one result."""

    megabytes: int = 200
    seconds: float = 60.0
    variants: int = 4

    def seeds(self, seed: float | None, variants: float | None) -> range:
        """The seeds of so many variants, from `seed` on; raises UserError where there is no seed,
        or more variants than these bounds allow.
        """
        if seed is None or seed != round(seed):
            raise UserError("The seed is a whole number; give one.")
        if variants is None or not 1 <= variants <= self.variants:
            raise UserError(f"There are 1 to {self.variants} variants at once; choose as many.")
        return range(round(seed), round(seed) + round(variants))

    def caption(self, text: str | None) -> str:
        """The caption; raises UserError for one that is far too long to be looked at."""
        said = text or ""
        if len(said) > MOST_LETTERS:
            raise UserError(
                f"The caption has {len(said)} letters, and {MOST_LETTERS} are the most that are"
                " read; shorten it."
            )
        return said

    def check_sound(self, sound: Path) -> None:
        """Raises UserError for a sound track of more than a quarter of an hour, and for none."""
        _, seconds = rate_and_length(sound)
        if seconds > SOUND_SECONDS:
            raise UserError(
                f"{sound} lasts {seconds:.0f} s, and {SOUND_SECONDS} s of sound are the most that"
                " are read here; cut it."
            )
