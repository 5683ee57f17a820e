"""The processor of this machine, and the products that are fastest on it by the table that ships
with the package (processors.yaml).
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict
from ruamel.yaml import YAML

TABLE = Path(__file__).with_name("processors.yaml")
FEATURES = ("avx512f", "avx2")  # the widest first
UNKNOWN = "unknown"
Choice = Literal["torch", "onednn"]


@dataclass(frozen=True)
class Processor:
    """Who made it, and the widest of FEATURES that it has; `unknown` where the system tells
    neither.
    """

    maker: str
    feature: str

    def __str__(self) -> str:
        return f"{self.maker} {self.feature}"


class Row(BaseModel):
    """A row of the table: the products for processors of one maker and feature, and what says
    so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    maker: str
    feature: str
    products: Choice
    measured: str


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Processor:
    """The processor of this machine, read from Linux's description of it."""
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    said = {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    flags = said.get("flags", "").split()
    feature = next((name for name in FEATURES if name in flags), UNKNOWN)
    return Processor(said.get("vendor_id", UNKNOWN), feature)


def fastest_products(which: Processor) -> Choice:
    """The products that the table names for a processor; torch's own where it has no row."""
    for row in rows():
        if (row.maker, row.feature) == (which.maker, which.feature):
            return row.products
    return "torch"


@lru_cache(maxsize=1)
def rows(table: Path = TABLE) -> tuple[Row, ...]:
    """The rows of the table."""
    return tuple(Row.model_validate(row) for row in YAML(typ="safe").load(table))
