"""`notifiers.yaml`: the channels, what is routed to them, and templates of one's own.

No secret stands in it: a channel names a file (mode 0600) or a variable of the environment that holds it.
A file that others can write is refused, because who writes it decides who is told. Every error names the
channel or route and what to do.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import yaml

from dragons.adapters.notify.templates import BUILT_IN, TEMPLATE_MAX, Wording, parse_template
from dragons.control.messages import QUARANTINED, TOPICS
from dragons.core.errors import DragonsError, ForbiddenError, InvalidInputError, NotFoundError

FILE_BYTES_MAX = 256_000
CHANNELS_MAX = 32
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}", re.ASCII)

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
Address = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,253}$(?!\n)",
        max_length=320,
    ),
]
Host = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9:][A-Za-z0-9.:-]{0,253}$(?!\n)")]


class WebhookChannel(
    msgspec.Struct, tag="webhook", tag_field="type", forbid_unknown_fields=True, kw_only=True
):
    """`secret_…` holds `whsec_…`, one a line; one of the addresses is given."""

    url: str = ""
    url_file: str = ""
    url_env: str = ""
    secret_file: str = ""
    secret_env: str = ""
    ca_file: str = ""


class SlackChannel(msgspec.Struct, tag="slack", tag_field="type", forbid_unknown_fields=True, kw_only=True):
    """The address of an incoming webhook is a secret."""

    url_file: str = ""
    url_env: str = ""
    ca_file: str = ""


class EmailChannel(msgspec.Struct, tag="email", tag_field="type", forbid_unknown_fields=True, kw_only=True):
    """`port` 0 is the usual one of `security`. Without a user name nobody logs in."""

    host: Host
    sender: Address = msgspec.field(name="from")
    to: Annotated[list[Address], msgspec.Meta(min_length=1, max_length=50)]
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: Annotated[str, msgspec.Meta(max_length=320)] = ""
    password_file: str = ""
    password_env: str = ""
    ca_file: str = ""


ChannelConfig = WebhookChannel | SlackChannel | EmailChannel


class Route(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Messages of these topics about agents that match one of the globs go to these channels."""

    topics: Annotated[list[str], msgspec.Meta(min_length=1, max_length=32)]
    channels: Annotated[list[str], msgspec.Meta(min_length=1, max_length=CHANNELS_MAX)]
    agents: Annotated[list[Text], msgspec.Meta(min_length=1, max_length=256)] = msgspec.field(
        default_factory=lambda: ["*"]
    )


class Words(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A template of one's own; what is left out stays as built in."""

    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=500)] | None = None
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=TEMPLATE_MAX)] | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    channels: dict[str, Any]
    routes: list[Any] | None = None
    templates: dict[str, Any] = {}


class NotifyConfig(NamedTuple):
    """The file, checked. `folder` is where relative paths begin."""

    folder: Path
    channels: Mapping[str, ChannelConfig]
    routes: tuple[Route, ...]
    wordings: Mapping[str, Wording]


def no_channels(folder: Path) -> NotifyConfig:
    """The configuration of a home without the file."""
    return NotifyConfig(folder, {}, (), BUILT_IN)


def read_config(path: Path) -> NotifyConfig:
    """The configuration in `path`; InvalidInputError, ForbiddenError or NotFoundError that say what to mend."""
    try:
        status = path.stat()
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(
            "notifiers_missing",
            f"There is no {path}.",
            fix="Write it, or unset DRAGONS_NOTIFIERS.",
        ) from error
    except OSError as error:
        raise ForbiddenError(
            "notifiers_unreadable",
            f"{path} can't be read: {error.strerror}.",
            fix="Let the control plane's user read it.",
        ) from error
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ForbiddenError(
            "notifiers_exposed",
            f"{path} can be written by others (mode {stat.S_IMODE(status.st_mode):04o}).",
            fix=f"Run `chmod 600 {path}`, and check what it says.",
        )
    try:
        return parse_config(data, path.parent)
    except DragonsError as error:
        raise InvalidInputError(error.code, f"{path}: {error.message}", fix=error.fix) from error


def parse_config(data: bytes, folder: Path) -> NotifyConfig:
    """The configuration in the bytes of the file; opens nothing."""
    if len(data) > FILE_BYTES_MAX:
        raise _invalid(f"it is larger than {FILE_BYTES_MAX} bytes")
    try:
        value = yaml.load(data, Loader=_Strict)  # noqa: S506 - a SafeLoader that also refuses repeated keys
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        # A scanner's message quotes the line, and somebody may have written a secret into it.
        mark = getattr(error, "problem_mark", None)
        place = "" if mark is None else f" at line {mark.line + 1}"
        raise _invalid(f"it is not YAML{place}: {getattr(error, 'problem', None) or 'malformed'}") from None
    file = _part(value, _File, "the file")
    channels = {name: _channel(name, one) for name, one in file.channels.items()}
    if len(channels) > CHANNELS_MAX:
        raise _invalid(f"there are more than {CHANNELS_MAX} channels")
    if file.routes is None:
        routes = [Route(topics=[QUARANTINED], channels=list(channels))] if channels else []
    else:
        routes = [_route(place, one, channels) for place, one in enumerate(file.routes, start=1)]
    wordings = {**BUILT_IN, **{topic: _wording(topic, one) for topic, one in file.templates.items()}}
    return NotifyConfig(folder, channels, tuple(routes), wordings)


def _channel(name: str, value: object) -> ChannelConfig:
    if not _NAME.fullmatch(name):
        raise _invalid(f"{name!r} can't name a channel", "Use lower-case letters, digits, dots and dashes.")
    channel: ChannelConfig = _part(value, ChannelConfig, f"channel {name}")
    for what, forms in _SOURCES[type(channel)].items():
        given = [form for form in forms if getattr(channel, form)]
        needed = what != "password" or bool(getattr(channel, "username", ""))
        if len(given) != int(needed):
            wanted = f"exactly one of {', '.join(forms)}" if needed else f"no {what} without a username"
            raise _invalid(f"channel {name} has {', '.join(given) or f'no {what}'}", f"Give it {wanted}.")
    return channel


_SOURCES: dict[type, dict[str, tuple[str, ...]]] = {
    WebhookChannel: {"address": ("url", "url_file", "url_env"), "secret": ("secret_file", "secret_env")},
    SlackChannel: {"address": ("url_file", "url_env")},
    EmailChannel: {"password": ("password_file", "password_env")},
}


def _route(place: int, value: object, channels: Mapping[str, ChannelConfig]) -> Route:
    route: Route = _part(value, Route, f"route {place}")
    if unknown := sorted(set(route.topics) - set(TOPICS)):
        raise _invalid(f"route {place} names no topic with {unknown[0]!r}", f"Topics: {', '.join(TOPICS)}.")
    if missing := sorted(set(route.channels) - set(channels)):
        raise _invalid(
            f"route {place} names {missing[0]!r}, and there is no such channel",
            f"Channels: {', '.join(channels) or 'none'}.",
        )
    return route


def _wording(topic: str, value: object) -> Wording:
    if topic not in BUILT_IN:
        raise _invalid(f"there is no topic {topic!r} to have a template", f"Topics: {', '.join(TOPICS)}.")
    words, built_in = _part(value, Words, f"template {topic}"), BUILT_IN[topic]
    try:
        return Wording(
            built_in.subject if words.subject is None else parse_template(words.subject),
            built_in.text if words.text is None else parse_template(words.text),
        )
    except InvalidInputError as error:
        raise InvalidInputError(error.code, f"template {topic}: {error.message}", fix=error.fix) from error


def _part(value: object, kind: Any, what: str) -> Any:  # noqa: ANN401 - a struct, or a union of them
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _invalid(f"{what}: {error}") from None


def _invalid(why: str, fix: str = "") -> InvalidInputError:
    return InvalidInputError(
        "notifiers_invalid", f"{why}.", fix=fix or "docs/operations.md shows what notifiers.yaml holds."
    )


class _Strict(yaml.SafeLoader):
    """Plain YAML values; a key that stands twice is refused instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        for place, name in enumerate(names):
            if name in names[:place]:
                raise yaml.constructor.ConstructorError(
                    None, None, "a key stands twice", node.value[place][0].start_mark
                )
        return super().construct_mapping(node, deep)
