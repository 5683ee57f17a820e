"""The command line: one short file a stage, which reads params.yaml, calls the library and writes
the stage's outputs.
"""
