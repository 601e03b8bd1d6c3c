"""kgl: the group of commands, and what becomes of errors."""

import importlib
import keyword
import os
import sys
from typing import NoReturn

import click

from kgl import __version__
from kgl.errors import FAILED, INTERRUPTED, KglError, reason

FIRST = {"download": "online", "baseline": "models", "board": "models", "submit": "online"}
MORE = {"init": "facts", "folds": "facts", "train": "models", "tune": "tune", "blend": "models", "import": "team"}
MORE |= {"predict": "models", "status": "online", "report": "report", "notebook": "notebook", "doctor": "online"}
MORE |= {"rehearse": "rehearsal"}
MODULES = FIRST | MORE


class Commands(click.Group):
    """Commands loaded when they are named; the four of every day are listed first."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which they are used."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command."""
        if cmd_name not in MODULES:
            return None
        function = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command: click.Command = getattr(importlib.import_module(f"kgl.cli.{MODULES[cmd_name]}"), function)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which command may have been meant."""
        from kgl.config import nearest

        if args and args[0] not in MODULES and not args[0].startswith("-"):
            raise click.UsageError(f"there is no command '{args[0]}'.{nearest(args[0], MODULES)} See kgl --help.", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Two lists: the way from nothing to a score, and the rest."""
        for title, names in (("From nothing to a score", FIRST), ("More", MORE)):
            with formatter.section(title):
                formatter.write_dl([(n, c.get_short_help_str(200)) for n in names if (c := self.get_command(ctx, n))])


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command has a --help of its own.",
)
@click.version_option(__version__, message="kgl %(version)s")
def cli() -> None:
    """One Kaggle competition, from its files to a submission and the next idea.

    Add --debug to any command to see where an error comes from.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command; errors become one sentence and an exit status (see kgl/errors.py)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    for name in ("stdin", "stdout", "stderr"):  # closed, as cron may leave them: a data file would get their number
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a Windows code page lacks some characters: print '?' instead of failing
            stream.reconfigure(errors="replace")
    name = next((argument for argument in arguments if not argument.startswith("-")), "")
    try:
        sys.exit(cli.main(arguments, prog_name="kgl", standalone_mode=False) or 0)
    except click.ClickException as error:
        _fail(f"kgl {name}: {error.format_message()}", error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # kgl board | head: nobody reads on, and Python would complain at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except Exception as error:
        if debug:
            raise
        _fail(f"kgl {name}: {_sentence(error)}", error.status if isinstance(error, KglError) else FAILED)


def _sentence(error: Exception) -> str:
    from kgl.online.credentials import masked

    if isinstance(error, KglError):
        return error.message
    if isinstance(error, OSError):
        file = error.filename2 or error.filename  # of two, the one that is written
        where = f" {file}" if file else ""
        return f"{masked(error.strerror or str(error))}{where}. What was finished is kept; the same command goes on."
    return f"{type(error).__name__}: {masked(reason(error))}. Run it with --debug to see where."


def _fail(sentence: str, status: int) -> NoReturn:
    click.echo(sentence, err=True)
    sys.exit(status)
