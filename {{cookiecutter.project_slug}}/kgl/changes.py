"""What changed from one run to another: settings, features, functions, notes; read from run.json and saved sources."""

import ast
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from kgl.identity import plain_syntax
from kgl.paths import Workspace
from kgl.runs import Run, list_runs, run_folder


def what_changed(workspace: Workspace, run: Run, parent: Run | None) -> str:
    """What a blend is made of, else what differs from the parent, in one line."""
    if run.blend:
        return members_of(run)
    return "; ".join(all_changes(workspace, run, parent)) if parent and parent.kind == run.kind else ""


def members_of(run: Run) -> str:
    """A blend's members with weight, the heaviest first."""
    blend = run.blend or {"members": [], "weights": []}
    weights = dict(zip(blend["members"], blend["weights"], strict=True))
    with_weight = sorted((m for m in weights if weights[m]), key=lambda m: abs(weights[m]), reverse=True)
    if len(weights) == 1:
        return f"{with_weight[0]} alone"
    if len(with_weight) == 1:
        return f"{len(weights)} members, no gain over {with_weight[0]} alone"
    how = "stack of " if blend.get("constants") else ""
    return f"{how}{len(weights)} members: " + ", ".join(f"{m} {weights[m]:.2f}" for m in with_weight)


def all_changes(workspace: Workspace, run: Run, parent: Run) -> list[str]:
    """Settings, then functions of the code, then data, each in words."""
    found = [change_in_words(*change) for change in differences(parent.config, run.config)]
    code, data = (parent.identity.get(key) != run.identity.get(key) for key in ("code", "data"))
    in_files = list(_changed_code(workspace, run, parent)) if code or data else []
    found += in_files
    if code and not in_files and not found:
        found.append("code")
    return found + ["data"] * (data and not any(change.startswith("contest.py") for change in in_files))


def change_in_words(key: str, old: Any, new: Any) -> str:
    """Such as `params.C 1 -> 2`, or what was added to a list and taken from it."""
    if isinstance(old, list) and isinstance(new, list) and (old or new):
        before, after = [_short(item) for item in old], [_short(item) for item in new]
        moved = [f"+{item}" for item in after if item not in before] + [f"-{i}" for i in before if i not in after]
        if moved and not any(isinstance(item, int | float) for item in (*old, *new)):
            return f"{key} {' '.join(moved)}"
    if "-" in (old, new):  # one of them leaves it to the model
        return f"{key}={_short(new)}" if old == "-" else f"-{key}"
    return f"{key} {_short(old)} -> {_short(new)}"


def differences(old: Any, new: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """(dotted key, old, new) where two configs differ; '-' where one lacks the key."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(k for k in new if k not in old)]
        found = [differences(old.get(k, "-"), new.get(k, "-"), f"{key}.{k}" if key else k) for k in keys]
        return [difference for part in found for difference in part]
    return [] if old == new else [(key, old, new)]


def find_parent(workspace: Workspace, run: Run, source: str) -> str:
    """The run of the same experiment that differs least, the latest of several; else of the same model, or nearly.

    Runs of other folds or another metric do not compare, and are nobody's parent.
    """
    import difflib

    kind = (run.kind, run.scored_by, run.identity.get("folds"))
    scored = [r for r in list_runs(workspace) if r.run != run.run and r.cv_score is not None]
    earlier = [r for r in scored if (r.kind, r.scored_by, r.identity.get("folds")) == kind]
    same = [r for r in earlier if r.experiment == run.experiment]
    if same:
        return min(reversed(same), key=partial(_distance, run)).run
    likeness = {}
    for other in {r.experiment: r for r in earlier}.values():
        path = run_folder(workspace, other.run) / "source" / "experiments" / f"{other.experiment}.py"
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            same_model = "model" in run.config and other.config.get("model") == run.config["model"]
            likeness[other.run] = same_model, difflib.SequenceMatcher(None, source, text, autojunk=False).ratio()
    best = max(likeness, key=likeness.__getitem__, default="")
    return best if best and likeness[best] > (False, 0.3) else ""


def _distance(run: Run, other: Run) -> int:
    """How many settings differ; other code, and other data, count as one each."""
    moved = [key for key in ("code", "data") if run.identity.get(key) != other.identity.get(key)]
    return len(differences(other.config, run.config)) + len(moved)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_short(item) for item in value) + "]"
    if isinstance(value, dict):
        return str(value.get("class", "..." if value else "{}")).rsplit(".", 1)[-1]
    return value.rsplit(".", 1)[-1] if isinstance(value, str) and " " not in value else str(value)


def _changed_code(workspace: Workspace, run: Run, parent: Run) -> Iterator[str]:
    """Such as `features.py: title +deck -cabin`, from the sources that both runs keep."""
    after, before = (_sources(run_folder(workspace, one.run) / "source", one.experiment) for one in (run, parent))
    for name in sorted(before | after) if before and after else ():
        old, new = (_parts(side.get(name)) for side in (before, after))
        changed = [part for part in new if part in old and old[part] != new[part]]
        moved = [f"+{part}" for part in new if part not in old] + [f"-{part}" for part in old if part not in new]
        shown = f"{run.experiment}.py" if name == "" else name
        if found := [part for part in [*changed, *moved] if part not in ("experiment", "+experiment", "-experiment")]:
            yield f"{shown}: {' '.join(found)}"


def _sources(folder: Path, experiment: str) -> dict[str, Path]:
    """Files by their name; the experiment's own has none, since a copy has another name than what it is a copy of."""
    own = folder / "experiments" / f"{experiment}.py"
    return {"" if path == own else path.relative_to(folder).as_posix(): path for path in folder.rglob("*.py")}


def _parts(path: Path | None) -> dict[str, str]:
    """What a file defines, by name, without comments and docstrings; imports are left out."""
    found: dict[str, str] = {}
    for node in plain_syntax(path).body if path else ():
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = ast.dump(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {ast.unparse(target): ast.dump(node) for target in targets}
    return found
