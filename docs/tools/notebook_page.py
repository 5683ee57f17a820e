"""An executed notebook as a page."""

import json
from pathlib import Path


def notebook_page(file: Path) -> str:
    """The cells with what they show, as Markdown with pictures and sounds inside."""
    parts = []
    for cell in json.loads(file.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts += filter(None, map(_shown, cell["outputs"]))
    return "\n\n".join(parts) + "\n"


def _shown(output: dict) -> str:
    """One output, in the richest of its forms."""
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text']).rstrip()}\n```"
    forms = {kind: "".join(text) for kind, text in output.get("data", {}).items()}
    if "image/png" in forms:
        code = forms["image/png"].replace("\n", "")
        return f'<img alt="what the cell shows" src="data:image/png;base64,{code}">'
    if "text/html" in forms:
        return " ".join(forms["text/html"].split())
    if "text/markdown" in forms:
        return forms["text/markdown"]
    return f"```text\n{forms.get('text/plain', '')}\n```"
