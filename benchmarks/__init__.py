"""How fast the diffusion core is: against the textbook formulation, and against what the hardware
allows.
"""
