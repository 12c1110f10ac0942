"""Write the API pages of the package with pdoc: `python -W error .ci/api_pages.py FOLDER`.

Fails on a warning of pdoc and on a public name without a docstring.
"""

import sys
from pathlib import Path
from pkgutil import walk_packages
from types import GenericAlias

import pandas as pd
from pdoc import doc, doc_ast, extract, pdoc, render

import runoff_lstm


def load_public_names() -> None:
    """Put every public name into the namespace of the package, which pdoc reads: they are loaded on first use."""
    vars(runoff_lstm).update({name: getattr(runoff_lstm, name) for name in runoff_lstm.__all__})


def copy_docstrings_of_variables(modules: list[str]) -> None:
    """Hand the docstring below a public table, `METRICS` for one, on to the page of the package."""
    ours = doc_ast.walk_tree(runoff_lstm).var_docstrings
    for home in filter(None, map(sys.modules.get, modules)):
        for name, text in doc_ast.walk_tree(home).var_docstrings.items():
            if name in runoff_lstm.__all__ and getattr(home, name, None) is getattr(runoff_lstm, name):
                ours[name] = text


def specifications(modules: list[str]) -> list[str]:
    """The package, and every module that pdoc does not reach from those before: rooms with an `__all__` hide their files."""
    found = ["runoff_lstm"]
    for name in modules:
        if name not in extract.walk_specs(found):
            found.append(name)
    return found


def main(folder: Path) -> None:
    pd.Series.__class_getitem__ = classmethod(GenericAlias)  # pdoc evaluates `Series[float]`, which exists in the stubs alone
    modules = [module.name for module in walk_packages(runoff_lstm.__path__, "runoff_lstm.")]
    load_public_names()
    copy_docstrings_of_variables(modules)
    bare = [member.name for member in doc.Module(runoff_lstm).members.values() if not member.docstring]
    if bare:
        sys.exit(f"public names without a docstring: {', '.join(bare)}")
    render.configure(docformat="numpy", show_source=False)
    pdoc(*specifications(modules), output_directory=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
