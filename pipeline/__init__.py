"""The library: everything the stages call. It knows no Typer, no DVC and no path of its own."""
