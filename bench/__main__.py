"""`python -m bench`: measures Dragons against limits and peers of the same run.

Exit code 0: measured; 1: a measurement failed, or with `--check` a target was missed or not measured;
2: the options are wrong.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench import document, report
from bench.machine import this_machine
from bench.sizes import FULL, QUICK
from bench.suite import MEASUREMENTS, Run, run_all


def main(arguments: Sequence[str]) -> int:
    """Run what `arguments` ask for; the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.write is not None:
        if options.only:
            parser.error("--write needs all measurements of one run: leave out --only")
        try:
            document.check(options.write)
        except (document.MarkError, OSError) as error:
            parser.error(str(error))
    names = [name for name in MEASUREMENTS if not options.only or name in options.only]
    sizes = QUICK if options.quick else FULL
    found = run_all(names, sizes, lambda text: print(text, file=sys.stderr, flush=True))
    run = Run(command=_command(options), machine=this_machine(), found=found)
    if options.output == "json":
        print(report.to_json(run))
    else:
        report.print_table(run, Console(width=None if sys.stdout.isatty() else 160))
    if options.write is not None:
        document.write(options.write, report.to_markdown(run))
    return 1 if failed(run, check=options.check) else 0


def failed(run: Run, *, check: bool) -> bool:
    """Whether the run ends with an error: a crash always, a target that was missed only when checked."""
    return any(found.crashed for found in run.found.values()) or (check and not run.met)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed or not measured")
    parser.add_argument("--quick", action="store_true", help="small sizes, about two minutes")
    parser.add_argument(
        "--only", action="append", choices=list(MEASUREMENTS), metavar="NAME",
        help=f"measure only this, repeatable: {', '.join(MEASUREMENTS)}",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", choices=["table", "json"], default="table", help="form of the report"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="put the figures between the marks of FILE"
    )
    return parser


def _command(options: argparse.Namespace) -> str:
    # Rebuilt from what matters: the arguments as typed may hold a path.
    words = ["python", "-m", "bench"]
    if options.quick:
        words.append("--quick")
    for name in options.only or ():
        words += ["--only", name]
    return shlex.join(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
