"""Settings: from the environment, once, checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from dragons.core.errors import InvalidInputError
from dragons.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(__import__("os").environ):
        if name.startswith("DRAGONS_"):
            monkeypatch.delenv(name)


def test_defaults_stay_on_this_machine() -> None:
    settings = load_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 7420)
    assert settings.home == Path.home() / ".dragons"
    assert settings.url == "http://127.0.0.1:7420"


def test_the_environment_counts_and_arguments_win(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DRAGONS_PORT", "8000")
    monkeypatch.setenv("DRAGONS_HOME", str(tmp_path))
    assert load_settings().port == 8000
    assert load_settings(port=9000, host=None).port == 9000
    assert load_settings().database == tmp_path / "control" / "dragons.db"
    assert load_settings().config == tmp_path / "config.json"
    assert load_settings().operator_folder("tnt_1") == tmp_path / "operator" / "tnt_1"
    assert load_settings().tenant_folder("tnt_1") == tmp_path / "tenant" / "tnt_1"


def test_the_channels_are_the_homes_own_unless_they_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DRAGONS_HOME", str(tmp_path))
    assert load_settings().notifiers is None
    assert load_settings().notifiers_file == tmp_path / "control" / "notifiers.yaml"
    monkeypatch.setenv("DRAGONS_NOTIFIERS", "~/oncall.yaml")
    assert load_settings().notifiers_file == Path.home() / "oncall.yaml"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"),
        ("PORT", "x"),
        ("RATE_PER_SECOND", "0"),
        ("RATE_BURST", "0"),
        ("FEEDS_MAX", "0"),
        ("NONCES_MAX", "1"),
        ("SWEEP_SECONDS", "-1"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("CONNECTIONS_MAX", "0"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"DRAGONS_{name}", value)
    with pytest.raises(InvalidInputError) as caught:
        load_settings()
    assert caught.value.code == "settings_invalid"
    assert f"DRAGONS_{name}" in caught.value.message


def test_a_wrong_value_is_not_repeated() -> None:
    with pytest.raises(InvalidInputError) as caught:
        load_settings(log_level="hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGONS_KEY_PASSPHRASE", "hunter2")
    settings = load_settings()
    assert "hunter2" not in repr(settings)
    assert settings.key_passphrase is not None
    assert settings.key_passphrase.get_secret_value() == "hunter2"


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError):
        load_settings().port = 1  # type: ignore[misc]


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(InvalidInputError):
        load_settings(prot=1)


def test_an_ipv6_address_is_a_url() -> None:
    assert Settings(host="::1", port=1).url == "http://[::1]:1"


def test_home_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(home=Path("here")).home == tmp_path / "here"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_needs_no_proxy(host: str) -> None:
    assert load_settings(host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "control.example"])  # noqa: S104 - what must be refused
def test_other_machines_come_through_a_proxy_that_terminates_tls(host: str) -> None:
    with pytest.raises(InvalidInputError, match=r"DRAGONS_HOST.*DRAGONS_BEHIND_TLS_PROXY=true"):
        load_settings(host=host)
    assert load_settings(host=host, behind_tls_proxy=True).host == host
