"""The shape of the code: imports run one way, modules and functions stay small, only the command line prints."""

import ast
import graphlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCE = REPOSITORY / "src"

# The way of the data. A module imports from what stands before it: from earlier stages, and from modules named earlier
# in its own stage. A module that its stage does not name may import any of that stage, as long as there is no circle.
STAGES = {
    "errors": (),
    "disk": (),
    "templating": (),
    "settings_file": (),
    "arch": ("layers", "network_file", "arithmetic", "zoo", "table"),
    "config": (),
    "mapping": (),
    "own_code": (),
    "randomness": (),
    "parallel": ("children", "team", "torchrun"),
    "device": (),
    "pictures": ("listing", "read", "find", "sampling", "components", "contrast", "panels", "ink",
                 "strokes", "cuts", "candidates", "costs", "prepare", "several"),
    "data": ("catalog", "download", "unpack", "files", "idx", "inventory", "dataset", "layout", "inspection", "draw",
             "arrays", "labelled", "npz", "pixel_table", "idx_folder", "array_files", "unsorted", "picture_set",
             "own", "source", "tensors", "warp"),
    "sync_norm": (),
    "model": (),
    "engine": ("compiler", "program", "source", "build", "choice", "network"),
    "optim": ("optimizers", "loss", "schedule", "length", "cuda_graph", "compiled", "agreement", "train", "tune"),
    "score": ("evaluate", "mistakes", "metrics", "statistics", "verdict", "refusal", "outliers", "fit_refusal"),
    "run": ("safe_files", "folder", "range_test", "weights", "own_data", "load_state", "checkpoint", "trained", "named",
            "start", "provenance", "summary"),
    "report": ("findings", "style", "plot_data", "plots", "sweep_charts", "html", "sections", "provenance_section",
               "report"),
    "comparison": ("difference", "runs", "pairs", "charts", "page"),
    "export": ("fold_norms", "forward", "proof", "onnx", "page", "javascript", "model_card", "targets", "c"),
    "events": (),
    "epoch": (),
    "settle": (),
    "experiment": (),
    "sweeps": ("seeds", "records", "in_one_process"),
    "search": ("values", "space", "journal", "claims", "storage", "study", "worker", "workers", "choice"),
    "suspects": ("confident", "folds", "find"),
    "classifier": (),
    "api": (),
    "cli": (),
}
# So that help, tables and errors in a configuration come at once.
NO_ARRAYS = ("errors", "disk", "settings_file", "arch", "config", "mapping")
NO_TORCH = (*NO_ARRAYS, "pictures", *(f"data.{name}" for name in STAGES["data"] if name not in ("tensors", "warp")))
# Slow to import: at the top of these modules alone, elsewhere inside the function that needs it.
HOMES = {"matplotlib": ("report", "comparison"), "jinja2": ("templating",),
         "PIL": ("pictures.read", "pictures.prepare", "report"),
         "rich": ("cli",)}
MOST_LINES, MOST_LINES_OF_FUNCTION, MOST_POSITIONAL, MOST_BYTES = 250, 40, 4, 512 * 1024

MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((SOURCE / "mnist_ops").rglob("*.py"))
}
PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}
KNOWN = {"mnist_ops", *MODULES, *(f"mnist_ops.{stage}" for stage in STAGES),
         *(f"mnist_ops.{stage}.{name}" for stage, names in STAGES.items() for name in names)}


def parse(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imported_names(tree: ast.AST, module: str) -> Iterator[str]:
    """Dotted names that the code imports, at whatever depth: `from a.b import c` is a.b.c."""
    package = module if module in PACKAGES else module.rpartition(".")[0]
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                above = package.split(".")[:len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                yield from (f"{base}.{alias.name}" for alias in node.names)
            case ast.Call(func=ast.Name("import_module") | ast.Attribute(attr="import_module"),
                          args=[ast.Constant(str(name)), *_]):
                yield name
            case _:
                pass


def own_imports(tree: ast.AST, module: str) -> set[str]:
    """Modules of this project that the code imports. The version number is not an arrow: every module may state it."""
    found = set()
    for name in imported_names(tree, module):
        if name.split(".")[0] == "mnist_ops" and name != "mnist_ops.__version__":
            while name not in KNOWN:
                name = name.rpartition(".")[0]
            found.add(name)
    return found - {module}


def position(module: str) -> tuple[int, int | None]:
    """(stage, place within it); the root comes last, and a package's own file is the last of its package."""
    _, stage, *rest = (*module.split("."), "")
    if stage in ("", "__main__"):
        return len(STAGES), None
    names = STAGES[stage]
    if rest == [""]:
        return list(STAGES).index(stage), len(names)
    return list(STAGES).index(stage), names.index(rest[0]) if rest[0] in names else None


def runs_back(importer: str, imported: str) -> bool:
    (stage, place), (other_stage, other_place) = position(importer), position(imported)
    if stage != other_stage or place is None or other_place is None:
        return other_stage > stage
    return other_place > place


def within(module: str, places: tuple[str, ...]) -> bool:
    return any(f"{module}.".startswith(f"mnist_ops.{place}.") for place in places)


def repository_files() -> list[Path]:
    """Files that git tracks, or would on the next `git add`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs git and a checkout: which files belong to the project is git's to say")
    return [path for name in listed.split("\0") if name and (path := REPOSITORY / name).is_file()]


def test_every_module_has_its_place_in_the_order():
    stages = {module.split(".")[1] for module in MODULES if "." in module} - {"__main__"}
    assert stages <= set(STAGES), "give each new module its place in STAGES"


def test_imports_run_one_way():
    back = [f"{module} imports {imported}" for module in MODULES
            for imported in sorted(own_imports(parse(module), module)) if runs_back(module, imported)]
    assert back == []


def test_imports_form_no_circle():
    graphlib.TopologicalSorter({module: own_imports(parse(module), module) for module in MODULES}).prepare()


@pytest.mark.parametrize(("module", "code", "back"), [
    ("mnist_ops.optim.tune", "from mnist_ops.optim.train import epoch", False),
    ("mnist_ops.optim.train", "from mnist_ops.optim.tune import sweep", True),
    ("mnist_ops.arch.table", "def late():\n    import mnist_ops.model", True),
    ("mnist_ops.config", "from mnist_ops import arch, errors", False),
    ("mnist_ops.config", "from mnist_ops import experiment", True),
    ("mnist_ops.data.idx", "from ..model import build", True),
    ("mnist_ops.data.idx", "from importlib import import_module\nimport_module('mnist_ops.cli.main')", True),
    ("mnist_ops.run.folder", "from mnist_ops import __version__", False),
    ("mnist_ops.run.folder", "from mnist_ops import train", True),
    ("mnist_ops", "from mnist_ops.experiment import train", False),
])
def test_an_arrow_that_runs_back_is_seen(module, code, back):
    assert any(runs_back(module, imported) for imported in own_imports(ast.parse(code), module)) == back


def test_light_modules_import_neither_arrays_nor_torch():
    heavy = [f"{module} imports {name}" for module in MODULES for name in imported_names(parse(module), module)
             if (name.split(".")[0] == "torch" and within(module, NO_TORCH))
             or (name.split(".")[0] == "numpy" and within(module, NO_ARRAYS))]
    assert heavy == []


@pytest.mark.parametrize("package", ["torch", "numpy", "matplotlib", "optuna"])
def test_modules_that_say_so_load_no_such_package(package):
    """By the docstring, such as "Knows neither torch nor numpy", or by the stage."""
    light = [module for module in MODULES if package in renounced(ast.get_docstring(parse(module)) or "")
             or (package in ("torch", "numpy") and within(module, NO_ARRAYS))]
    code = f"import sys, {', '.join(light)}; print({package!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def renounced(text: str) -> set[str]:
    """Packages that a docstring says a module does without."""
    return {name for clause in re.findall(r"\b(?:no|neither|without)\b([^.;:]*)", text, re.IGNORECASE)
            for name in re.findall(r"\w+", clause.lower())}


@pytest.mark.parametrize(("text", "names"), [
    ("Reads files. No torch.", {"torch"}), ("Knows neither torch nor numpy.", {"torch", "nor", "numpy"}),
    ("No torch, no Optuna.", {"torch", "no", "optuna"}), ("Updates as torch.optim does.", set()),
])
def test_what_a_docstring_renounces_is_read(text, names):
    assert renounced(text) == names


def test_slow_packages_are_imported_late_or_at_home():
    early = [f"{module} imports {name}" for module in MODULES for node in parse(module).body
             if isinstance(node, ast.Import | ast.ImportFrom) for name in imported_names(node, module)
             if (homes := HOMES.get(name.split(".")[0])) and not within(module, homes)]
    assert early == []


def test_torchvision_is_not_used():
    python = [path for path in repository_files() if path.suffix == ".py"]
    users = [str(path) for path in python for name in imported_names(ast.parse(path.read_text(encoding="utf-8")), "")
             if name.split(".")[0] == "torchvision"]
    assert users == []
    assert "torchvision" not in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")


def test_modules_say_what_they_are_and_stay_small():
    trees = {module: parse(module) for module in MODULES}
    assert [module for module, tree in trees.items() if tree.body and not ast.get_docstring(tree)] == []
    lines = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    assert {module: count for module, count in lines.items() if count > MOST_LINES} == {}


def test_functions_stay_small():
    large = {}
    for module in MODULES:
        for function in ast.walk(parse(module)):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                lines, positional = lines_without_docstring(function), positional_arguments(function)
                if lines > MOST_LINES_OF_FUNCTION or positional > MOST_POSITIONAL:
                    large[f"{module}.{function.name}"] = f"{lines} lines, {positional} positional arguments"
    assert large == {}


def test_no_argument_is_a_nameless_tuple():
    """Of different things; a pair of like ones, such as a place or a range, may be one."""
    nameless = [f"{module}.{function.name}: {argument.arg}" for module in MODULES
                for function in ast.walk(parse(module)) if isinstance(function, ast.FunctionDef)
                for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
                if argument.annotation is not None and is_nameless(argument.annotation)]
    assert nameless == []


def is_nameless(annotation: ast.expr) -> bool:
    match ast.parse(ast.unparse(annotation).strip("'"), mode="eval").body:
        case ast.Subscript(value=ast.Name("tuple"), slice=ast.Tuple(elts=parts)):
            kinds = {ast.unparse(part) for part in parts}
            return len(kinds) > 1 and "..." not in kinds
        case _:
            return False


def lines_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first, last = function.body[0], function.end_lineno or function.lineno
    documented = ast.get_docstring(function) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return last - function.lineno + 1 - docstring


def positional_arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def test_only_the_command_line_prints_or_exits():
    forbidden = {"print", "exit", "quit", "SystemExit", "sys.exit", "sys.stdout", "sys.stderr", "os._exit"}
    silent = {module: tree for module in MODULES if "prints nothing" in (ast.get_docstring(tree := parse(module)) or "")
              .lower() or not within(module, ("cli", "__main__"))}
    talkers = [f"{module}:{node.lineno} {ast.unparse(node)}" for module, tree in silent.items()
               for node in ast.walk(tree)
               if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in forbidden]
    assert talkers == []
    assert [module for module, tree in silent.items() if "mnist_ops.cli.output" in own_imports(tree, module)] == []


TRANSLATED = re.compile(
    r"(?<!there )\b(?:is|are|was|were) no (?!longer|more than)\w+|\b(?:anew|whoever|whence|wherein|whom)\b|"
    r"\b(?:but for|for want of|exists already|whole numbers?)\b|\b(?:test|training|validation) part\b|"
    r"\bof (?:its|their|his) own\b|\bgo(?:es)? on with\b", re.IGNORECASE)


def texts_for_users() -> Iterator[tuple[str, str]]:
    """(place, text): every string of the package that is not a docstring, help texts, comments of settings, templates,
    and the pages, except the log of trials and the page of measurements."""
    for module, path in MODULES.items():
        tree = parse(module)
        documented = {id(node.body[0].value) for node in ast.walk(tree)
                      if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
                      and isinstance(node.body[0], ast.Expr)}
        yield from ((f"{module}:{node.lineno}", node.value) for node in ast.walk(tree)
                    if isinstance(node, ast.Constant) and isinstance(node.value, str)
                    and (id(node) not in documented or within(module, ("cli",))))
        if within(module, ("config",)):
            yield module, path.read_text(encoding="utf-8")
    pages = [*SOURCE.rglob("templates/*.*"), *REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")]
    yield from ((path.name, path.read_text(encoding="utf-8")) for path in pages
                if path.name not in ("log.md", "performance.md"))


def test_texts_for_users_read_as_english():
    assert [f"{place}: {found[0]}" for place, text in texts_for_users() for found in TRANSLATED.finditer(text)] == []


@pytest.mark.parametrize(("text", "found"), [
    ("notes.txt is no picture", True), ("there is no picture", False), ("the run is no longer there", False),
    ("it EXISTS ALREADY; go on with it", True), ("evaluate on the test set", False), ("look at the test part", True),
])
def test_a_text_that_reads_as_translated_is_seen(text, found):
    assert bool(TRANSLATED.search(text)) == found


def closed_kinds() -> set[str]:
    """The members of every union of classes that has a name, such as Layer, Operation or Event."""
    unions = [node.value for module in MODULES for node in ast.walk(parse(module))
              if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias"
              and isinstance(node.value, ast.BinOp)]
    return {name.id for union in unions for name in ast.walk(union) if isinstance(name, ast.Name)}


def forgets_kinds(tree: ast.AST, kinds: set[str]) -> list[int]:
    """Lines of matches over such kinds whose `case _` would take a new one without a word. mypy tells the others."""
    found = []
    for match in ast.walk(tree):
        if isinstance(match, ast.Match):
            named = {ast.unparse(node.cls).rpartition(".")[2] for case in match.cases for node in ast.walk(case.pattern)
                     if isinstance(node, ast.MatchClass)}
            last = match.cases[-1]
            if named & kinds and ast.unparse(last.pattern) == "_" and "assert_never" not in ast.unparse(last.body[0]):
                found.append(last.pattern.lineno)
    return found


def test_a_match_over_a_closed_union_names_every_kind():
    kinds = closed_kinds()
    assert {"Conv", "Residual", "Convolution", "IntegerDot", "SweepStep"} <= kinds
    assert [f"{module}:{line}" for module in MODULES for line in forgets_kinds(parse(module), kinds)] == []


@pytest.mark.parametrize(("last", "lines"), [("case _:\n  pass", [4]), ("case _:\n  assert_never(one)", []),
                                             ("case Norm():\n  pass", [])])
def test_a_match_that_forgets_kinds_is_seen(last, lines):
    assert forgets_kinds(ast.parse(f"match one:\n case arch.Conv():\n  pass\n {last}"), {"Conv", "Norm"}) == lines


def test_no_module_is_a_drawer_for_everything():
    drawers = {"util", "utils", "helper", "helpers", "common", "misc"}
    named = [str(path) for path in repository_files()
             if path.suffix == ".py" and drawers & set(path.relative_to(REPOSITORY).with_suffix("").parts)]
    assert named == []


def test_no_large_file_is_tracked():
    assert {str(path): size for path in repository_files() if (size := path.stat().st_size) > MOST_BYTES} == {}


def test_tests_reach_localhost_only():
    with pytest.raises(pytest.fail.Exception, match=r"mirror\.invalid.*localhost only"):
        socket.create_connection(("mirror.invalid", 80), timeout=1)
