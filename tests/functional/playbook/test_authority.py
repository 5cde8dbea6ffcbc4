"""The runner can hand notifications on and never send one; the notifier can send them and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dragons.cli.notifier import notifier_program
from dragons.core.clock import SystemClock
from dragons.core.errors import ForbiddenError
from dragons.node.playbook.book import open_book
from dragons.node.playbook.prepare import prepare_playbook
from dragons.sdk.core import SessionCore
from dragons.sdk.errors import ActionDenied
from dragons.sdk.instance import Place
from dragons.sdk.launch import launch
from dragons.sdk.localstore import LocalStore
from dragons.sdk.session import Session, working
from tests.functional.plane import ControlPlane
from tests.functional.playbook.conftest import Project
from tests.functional.playbook.test_incident import work


@contextmanager
def runner(plane: ControlPlane, project: Project) -> Iterator[Session]:
    """The session that `dragons playbook run` would have."""
    book, program, clock = open_book(project.folder), notifier_program(project.notifiers), SystemClock()
    with plane.client() as client, LocalStore(plane.home.store_path(plane.tenant_id)) as store:
        prepare_playbook(client, plane.operator(client), book, program, lambda _: None)
        place = Place(plane.url, store, clock)
        scopes = {"scope": book.scope, "delegate_scope": book.handed_on}
        with working(SessionCore(launch(client, book.manifest, place, **scopes), "keep it up")) as session:
            yield session


@pytest.mark.parametrize("capability", ["notify:slack", "notify:email", "notify:webhook"])
def test_the_runner_s_own_notice_is_denied_with_a_receipt(
    plane: ControlPlane, project: Project, capability: str
) -> None:
    with runner(plane, project) as session:
        with pytest.raises(ActionDenied) as denied, session.action(capability):
            raise AssertionError(capability)
        assert denied.value.reason == "capability_not_leased"
        session_id = session.session_id
    assert work(plane, session_id) == [(capability, "denied")]


def test_the_notifier_can_do_nothing_else(plane: ControlPlane, project: Project) -> None:
    manifest = notifier_program(project.notifiers).manifest
    with (
        runner(plane, project) as session,
        session.delegate(manifest, scope=["notify:slack"], goal="tell") as child,
    ):
        for capability in ("run:service", "notify:email", "write:postmortem"):
            with pytest.raises(ActionDenied) as denied, child.action(capability):
                raise AssertionError(capability)
            assert denied.value.reason == "capability_not_leased"
        with child.action("notify:slack"):
            pass
        child_id = child.session_id
    assert work(plane, child_id) == [
        ("run:service", "denied"), ("notify:email", "denied"), ("write:postmortem", "denied"),
        ("notify:slack", "completed"),
    ]  # fmt: skip


@pytest.mark.parametrize("scope", [["run:service"], ["notify:slack", "read:logs"], ["notify:webhook"]])
def test_the_runner_hands_on_nothing_else(plane: ControlPlane, project: Project, scope: list[str]) -> None:
    manifest = notifier_program(project.notifiers).manifest
    with (
        runner(plane, project) as session,
        pytest.raises(ForbiddenError) as refused,
        session.delegate(manifest, scope=scope, goal="more"),
    ):
        raise AssertionError(scope)
    assert refused.value.code in {"capability_not_delegable", "scope_exceeded"}
