"""How fast the diffusion core is: against the textbook formulation, and against what the hardware
allows.
"""

from pipeline.runtime.threads import bound_threads

bound_threads()  # as the stages do, before torch is there
