"""Senders from their configuration: the place where a channel's secrets are read, once, at the start."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from dragons.adapters.keyfiles import KEY_FILE_BYTES_MAX, read_secret
from dragons.adapters.notify.config import (
    ChannelConfig,
    EmailChannel,
    NotifyConfig,
    Route,
    SlackChannel,
    no_channels,
    read_config,
)
from dragons.adapters.notify.email import CLEAR, STARTTLS, TLS, Email, Server
from dragons.adapters.notify.message import Notifier
from dragons.adapters.notify.post import Receiver, is_loopback, shown_url
from dragons.adapters.notify.signing import parse_secrets
from dragons.adapters.notify.slack import Slack
from dragons.adapters.notify.templates import BUILT_IN, Wording
from dragons.adapters.notify.webhook import Webhook
from dragons.control.messages import TOPICS, Channel
from dragons.core.clock import Clock
from dragons.core.errors import DragonsError, InvalidInputError

_PORTS = {STARTTLS: 587, TLS: 465, CLEAR: 25}


class Secrets:
    """Where channels find their secrets: files, relative to `folder`, and an environment."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._environment = os.environ if environment is None else environment

    def read(self, file: str, variable: str, plain: str = "") -> str:
        """The value of the one that is given, without white space around it."""
        if file:
            return self._file(file)
        if not variable:
            return plain
        value = self._environment.get(variable, "").strip()
        if not value:
            raise InvalidInputError(
                "secret_missing",
                f"The variable {variable} is not set.",
                fix=f"Set {variable} and start again.",
            )
        return value

    def path(self, name: str) -> Path | None:
        """A file beside the configuration, None for no name."""
        return self._folder / Path(name).expanduser() if name else None

    def _file(self, name: str) -> str:
        path = self._folder / Path(name).expanduser()
        try:
            text = read_secret(path).decode().strip()
        except UnicodeDecodeError:
            text = ""
        except DragonsError as error:
            if error.code != "key_file_malformed":
                raise
            text = ""
        if not text:
            raise InvalidInputError(
                "secret_malformed",
                f"{path} is no file with 1 to {KEY_FILE_BYTES_MAX} bytes of text.",
                fix="Write the secret into it, and nothing else.",
            )
        return text


def build_notifier(
    channel: ChannelConfig,
    clock: Clock,
    *,
    secrets: Secrets | None = None,
    wordings: Mapping[str, Wording] = BUILT_IN,
) -> Notifier:
    """The sender of a channel. Without `secrets`, files are looked for from the working folder on."""
    known = secrets or Secrets(Path())
    if isinstance(channel, EmailChannel):
        return Email(_server(channel, known), channel.sender, tuple(channel.to), wordings)
    ca_file = known.path(channel.ca_file)
    if isinstance(channel, SlackChannel):
        return Slack(Receiver(known.read(channel.url_file, channel.url_env), ca_file), wordings)
    url = known.read(channel.url_file, channel.url_env, channel.url)
    keys = parse_secrets(known.read(channel.secret_file, channel.secret_env))
    return Webhook(Receiver(url, ca_file), keys, wordings, clock)


def where(channel: ChannelConfig, secrets: Secrets) -> str:
    """Where a channel leads, without anything secret."""
    if isinstance(channel, EmailChannel):
        return f"{_server_name(channel)} to {', '.join(channel.to)}"
    plain = "" if isinstance(channel, SlackChannel) else channel.url
    return shown_url(secrets.read(channel.url_file, channel.url_env, plain))


class Notifiers:
    """The channels of a control plane: implements `dragons.control.messages.Router`."""

    def __init__(self, config: NotifyConfig, clock: Clock, secrets: Secrets | None = None) -> None:
        known = secrets or Secrets(config.folder)
        self._routes = config.routes
        self._channels: list[Channel] = []
        self._senders: dict[str, Notifier] = {}
        for name, one in config.channels.items():
            try:
                self._senders[name] = build_notifier(one, clock, secrets=known, wordings=config.wordings)
                self._channels.append(Channel(name, _type(one), where(one, known), self._topics(name)))
            except DragonsError as error:
                raise InvalidInputError(
                    error.code, f"Channel {name}: {error.message}", fix=error.fix
                ) from error

    def channels(self) -> Sequence[Channel]:
        """In the order of the file."""
        return tuple(self._channels)

    def route(self, topic: str, agent: str) -> tuple[str, ...]:
        """The channels of every route that matches, each once. What is about no agent matches `*` only."""
        found: dict[str, None] = {}
        for route in self._routes:
            if topic in route.topics and _matches(route, agent):
                found.update(dict.fromkeys(route.channels))
        return tuple(found)

    def sender(self, channel: str) -> Notifier | None:
        """What sends to `channel`; None when it is not configured."""
        return self._senders.get(channel)

    def _topics(self, name: str) -> tuple[str, ...]:
        routed = {topic for route in self._routes if name in route.channels for topic in route.topics}
        return tuple(topic for topic in TOPICS if topic in routed)


def load_notifiers(path: Path, clock: Clock, *, required: bool, secrets: Secrets | None = None) -> Notifiers:
    """The channels that `path` configures. Without the file there are none, unless it is `required`."""
    config = read_config(path) if required or path.exists() else no_channels(path.parent)
    return Notifiers(config, clock, secrets)


def _matches(route: Route, agent: str) -> bool:
    return any(fnmatchcase(agent, glob) for glob in route.agents)


def _type(channel: ChannelConfig) -> str:
    return str(channel.__struct_config__.tag)


def _server(channel: EmailChannel, secrets: Secrets) -> Server:
    if channel.security == CLEAR and not is_loopback(channel.host):
        raise InvalidInputError(
            "mail_unencrypted",
            f"Mail to {channel.host} would not be encrypted.",
            fix="Set security to starttls or tls; none is for a server on this machine.",
        )
    password = secrets.read(channel.password_file, channel.password_env) if channel.username else ""
    return Server(
        channel.host,
        channel.port or _PORTS[channel.security],
        channel.security,
        channel.username,
        password,
        secrets.path(channel.ca_file),
    )


def _server_name(channel: EmailChannel) -> str:
    return f"{channel.host}:{channel.port or _PORTS[channel.security]}"
