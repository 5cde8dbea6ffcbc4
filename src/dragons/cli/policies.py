"""`dragons policies`: when an agent counts as stalled, how it is healed, and when a person is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Group
from rich.text import Text

from dragons.cli.command import GOVERN, command, group
from dragons.cli.context import Cli
from dragons.cli.output import fact_list, table
from dragons.cli.run import Repeated
from dragons.cli.values import duration, moment, parse_duration
from dragons.core.errors import InvalidInputError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dragons.wire.dispatches import EffectivePolicy, PolicyVersion, Thresholds

_LENGTHS = (
    "degrade_after", "autoheal_after", "lease_grace", "heal_timeout", "waiting_max", "restart_window",
    "backoff_first", "backoff_longest",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `dragons policies …`."""
    inner = group(app, "policies", "Liveness policies: stalls, healing, quarantine.", panel=GOVERN)
    command(inner, "show", example="dragons policies show reconciler")(show)
    command(inner, "set", example="dragons policies set reconciler --degrade-after 30m --autoheal-after 60m")(
        set_policy
    )


def show(
    cli: Cli,
    agent: Annotated[
        str,
        typer.Argument(
            metavar="AGENT", help="The agent, * for all without their own; every policy when absent."
        ),
    ] = "",
) -> None:
    """Show what counts for an agent and whose policy that is, or every policy that was published."""
    if agent:
        found = cli.client.policy(agent)
        cli.printer.data(found, lambda: _effective(found))
        return
    every = cli.client.policies()
    cli.printer.data(
        every,
        lambda: Group(
            Text("Without a policy:"), fact_list(_facts(every.default)), Text(""), _versions(every.policies)
        ),
    )


def _length(name: str, what: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(name, metavar="TIME", help=what)
    return option


def set_policy(
    cli: Cli,
    *,
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="The agent, or * for all without their own.")],
    degrade_after: Annotated[str, _length("--degrade-after", "Without pulse or progress: degraded.")] = "",
    autoheal_after: Annotated[str, _length("--autoheal-after", "Without pulse or progress: healed.")] = "",
    lease_grace: Annotated[str, _length("--lease-grace", "How late a lapsed lease may be renewed.")] = "",
    heal_timeout: Annotated[str, _length("--heal-timeout", "How long an ordered start may take.")] = "",
    waiting_max: Annotated[str, _length("--waiting-max", "The longest declared waiting.")] = "",
    restart_window: Annotated[str, _length("--restart-window", "In which restarts are counted.")] = "",
    backoff_first: Annotated[str, _length("--backoff-first", "The pause before the second restart.")] = "",
    backoff_longest: Annotated[str, _length("--backoff-longest", "The longest pause before one.")] = "",
    restarts_max: Annotated[
        int | None, typer.Option("--restarts-max", min=0, help="Restarts in the window before quarantine.")
    ] = None,
    progress: Annotated[
        bool | None, typer.Option("--progress/--no-progress", help="Whether verified progress is demanded.")
    ] = None,
    source: Annotated[
        Repeated, typer.Option("--source", metavar="NAME", help="What counts as progress. Repeatable.")
    ] = None,
) -> None:
    """Publish an agent's next policy, signed with your key; what is not given stays as it counts now."""
    given = (
        degrade_after, autoheal_after, lease_grace, heal_timeout, waiting_max, restart_window, backoff_first,
        backoff_longest,
    )  # fmt: skip
    values = msgspec.structs.asdict(cli.client.policy(agent).thresholds)
    changed = {
        f"{name}_seconds": parse_duration(text) for name, text in zip(_LENGTHS, given, strict=True) if text
    }
    if restarts_max is not None:
        changed["restarts_max"] = restarts_max
    if progress is not None:
        changed["progress_required"] = progress
    if not changed and source is None:
        raise InvalidInputError(
            "policy_unchanged", "Nothing is to be changed.", fix="Give at least one threshold; see --help."
        )
    sources = values["progress_sources"] if source is None else sorted(set(source))
    recorded = cli.operator.publish_policy(agent, {**values, **changed, "progress_sources": sources})
    cli.recorded(recorded, f"The policy of {agent} counts from now on.")


def _effective(found: EffectivePolicy) -> RenderableType:
    origin = {"default": "the product's defaults", "*": "the policy for every agent (*)"}
    whose = origin.get(found.origin, "its own policy")
    first = [("agent", found.agent), ("counts", f"{whose}, version {found.version}")]
    parts: list[RenderableType] = [fact_list([*first, *_facts(found.thresholds)])]
    if found.versions:
        parts += [Text(""), _versions(found.versions)]
    return Group(*parts)


def _facts(values: Thresholds) -> list[tuple[str, object]]:
    facts: list[tuple[str, object]] = []
    for name, value in msgspec.structs.asdict(values).items():
        shown = duration(value) if name.endswith("_seconds") else value
        facts.append((name.removesuffix("_seconds"), shown))
    return facts


def _versions(found: list[PolicyVersion]) -> RenderableType:
    if not found:
        return Text("No policy was published.", style="dim")
    return table(
        ("agent", "version", "published", "by", "degrade after", "autoheal after", "restarts max"),
        [
            (
                one.agent,
                one.version,
                moment(one.published_at),
                one.published_by,
                duration(one.thresholds.degrade_after_seconds),
                duration(one.thresholds.autoheal_after_seconds),
                one.thresholds.restarts_max,
            )
            for one in found
        ],
    )
