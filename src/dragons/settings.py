"""The control plane's settings: read once from `DRAGONS_…` variables, then never changed.

Every limit is a number here or in `dragons.wire.base`. Nothing else reads the environment.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from dragons.core.errors import InvalidInputError
from dragons.liveness.heartbeat import INTERVAL_SECONDS_DEFAULT


class Settings(BaseSettings):
    """Defaults suit one machine. `port` 0 lets the system choose a free one."""

    model_config = SettingsConfigDict(env_prefix="DRAGONS_", frozen=True, extra="forbid")

    home: Path = Path("~/.dragons")
    # The server speaks plain HTTP: other machines may reach it only through a proxy that terminates TLS.
    # Stands before `host`, whose check reads it.
    behind_tls_proxy: bool = False
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 7420
    # Opens the issuer and ledger keys when they are encrypted.
    key_passphrase: SecretStr | None = None

    rate_per_second: Annotated[float, Field(gt=0, le=1_000_000)] = 600.0
    rate_burst: Annotated[int, Field(ge=1, le=1_000_000)] = 1_200
    # How many credentials are remembered: their rates, and the signatures found good.
    credentials_max: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    # About 100 bytes each; one is remembered for two to four times the skew of a proof.
    nonces_max: Annotated[int, Field(ge=2, le=10_000_000)] = 1_000_000
    feeds_max: Annotated[int, Field(ge=1, le=10_000)] = 64
    # Bounds how late a feed notices another process's receipts, and the end of its credential.
    feed_poll_seconds: Annotated[float, Field(gt=0, le=60)] = 0.5
    # How many nodes may wait for orders at the same time.
    nodes_max: Annotated[int, Field(ge=1, le=10_000)] = 256
    connections_max: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    readers: Annotated[int, Field(ge=1, le=64)] = 4

    # How often an instance is asked to send a heartbeat.
    heartbeat_seconds: Annotated[int, Field(ge=1, le=600)] = INTERVAL_SECONDS_DEFAULT
    sweep_seconds: Annotated[float, Field(gt=0, le=3_600)] = 5.0
    # The channels of `dragons notifiers`; the home's own file when it is not set.
    notifiers: Path | None = None
    # Whose admins see this process's own metrics, which are of all tenants together.
    metrics_tenant: Annotated[str, Field(pattern=r"^(tnt_[0-9a-f]{32})?$")] = ""
    shutdown_seconds: Annotated[int, Field(ge=1, le=600)] = 10
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("home", "notifiers")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path and path.expanduser().absolute()

    @field_validator("host")
    @classmethod
    def _closed(cls, host: str, others: ValidationInfo) -> str:
        if others.data.get("behind_tls_proxy") or _is_loopback(host):
            return host
        msg = (
            f"{host} is open to other machines, and the server speaks plain HTTP: put a proxy that "
            "terminates TLS in front of it, then set DRAGONS_BEHIND_TLS_PROXY=true"
        )
        raise ValueError(msg)

    @property
    def database(self) -> Path:
        """State and ledger of all tenants of this home."""
        return self.home / "control" / "dragons.db"

    @property
    def notifiers_file(self) -> Path:
        """Where people and programs are told; it may be missing unless it was named."""
        return self.notifiers or self.home / "control" / "notifiers.yaml"

    @property
    def config(self) -> Path:
        """What the clients on this machine read."""
        return self.home / "config.json"

    def operator_folder(self, tenant_id: str) -> Path:
        """Keys and token of the tenant's people."""
        return self.home / "operator" / tenant_id

    def tenant_folder(self, tenant_id: str) -> Path:
        """What stays with the tenant: payloads and what waits to be sent."""
        return self.home / "tenant" / tenant_id

    @property
    def url(self) -> str:
        """Where clients on this machine reach the control plane."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings(**overrides: object) -> Settings:
    """The settings of this process; InvalidInputError names every wrong variable, never its value."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        faults = "; ".join(
            f"DRAGONS_{'_'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise InvalidInputError(
            "settings_invalid", f"Wrong settings: {faults}.", fix="Correct or unset the named variables."
        ) from error
