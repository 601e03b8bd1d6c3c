"""Write the list of files of each starter's workspace: run `make file-lists`, then read the difference."""

import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter

from tests.baking import STARTERS, BakedProject, copy_template


def main() -> None:
    """Bake every starter and write tests/files_<starter>.txt."""
    with tempfile.TemporaryDirectory() as folder:
        template = copy_template(Path(folder) / "template")
        for starter in STARTERS:
            target = Path(folder) / "baked" / starter
            baked = cookiecutter(
                str(template),
                no_input=True,
                extra_context={"starter": starter},
                output_dir=str(target),
                default_config=True,
            )
            names = sorted(BakedProject(Path(baked)).files())
            text = "\n".join(names) + "\n"
            (Path(__file__).parent / f"files_{starter}.txt").write_text(text, "utf-8", newline="\n")
            print(f"{starter}: {len(names)} files")


if __name__ == "__main__":
    main()
