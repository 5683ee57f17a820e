"""The demo: the models of this package in a page of one's own browser (`cdcd demo`).

What a tab does stands in plain functions over the Python API (`making`); the page around them is
Gradio's, of the extra `demo`.
"""
