"""The command line: one short file a stage, which reads its settings, calls the library and writes
the stage's outputs.
"""
