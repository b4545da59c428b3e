"""The C code as an Arduino library: a zip with properties, source and a sketch; Arduino library specification 1.5."""

import re
import shlex
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO

from mnist_ops import __version__
from mnist_ops.errors import legible
from mnist_ops.export.c.code import comment
from mnist_ops.export.c.example import MAIN, SKETCH, example, shown_image
from mnist_ops.export.c.target import Wanted, export_c, naming_of
from mnist_ops.export.model_card import Snippet
from mnist_ops.export.targets import Export, Subject
from mnist_ops.templating import fill

CLOCK = (1980, 1, 1, 0, 0, 0)  # of every file, so that equal networks give equal bytes
INSTALL = """\
# In the Arduino IDE: Sketch, Include Library, Add .ZIP Library; then File, Examples, {name}, {sketch}. Or:
export ARDUINO_LIBRARY_ENABLE_UNSAFE_INSTALL=true  # arduino-cli takes a zip only so
arduino-cli lib install --zip-path {zip}"""


def export_arduino(subject: Subject, wanted: Wanted) -> Export:
    """The library of the pair that `export_c` makes, called `wanted.name`. Raises RunError as it does."""
    named = replace(wanted, stem=wanted.name)
    made, naming = export_c(subject, named), naming_of(subject, named)
    header = made.files[".h"].decode()
    sketch = example(f"{SKETCH}.ino", naming, shown_image(subject), header=header)
    files = {"library.properties": _properties(subject, made, naming.name).encode("ascii"),
             **{f"src/{naming.stem}{ending}": content for ending, content in made.files.items()},
             **{f"src/{name}": content for name, content in made.beside.items() if name != MAIN},
             f"examples/{SKETCH}/{SKETCH}.ino": sketch.encode("ascii")}
    file = shlex.quote(legible(f"{wanted.stem}.zip"))
    install = Snippet("Install it", "sh", INSTALL.format(name=naming.name, sketch=SKETCH, zip=file))
    return replace(made, files={".zip": zipped({f"{naming.name}/{path}": files[path] for path in files})}, beside={},
                   snippets=(install, *(one for one in made.snippets if one.language == "c")))


def _properties(subject: Subject, made: Export, name: str) -> str:
    _, height, width = subject.trained.input_shape
    release = re.match(r"\d+(\.\d+){0,2}", __version__)
    how = "" if made.numbers["compiled"] else "NOT COMPILED. "
    paragraph = (f"{how}Compared with PyTorch on {subject.data}: {made.proof.same:,} of {made.proof.images:,} in the "
                 "same class. Written by mnist-ops.")
    return fill("export/c/templates/library.properties.jinja", escape=False, name=name,
                version=release[0] if release else "0.0.0", paragraph=comment(paragraph),
                sentence=f"Sorts images of {width}x{height} pixels into {len(subject.trained.classes)} classes.")


def zipped(files: Mapping[str, bytes]) -> bytes:
    """An archive of those files by their paths, uncompressed: how well zlib packs depends on its version."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, CLOCK)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # as on Unix, on every system
            archive.writestr(entry, content)
    return made.getvalue()
