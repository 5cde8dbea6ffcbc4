"""Whoever opens the control plane's address finds a way on."""

from __future__ import annotations

from dragons import __version__
from dragons.api.access import ACCESS
from dragons.core.vocabulary import Role
from tests.support.server import Plane


def test_the_address_itself_answers_and_each_of_its_links(plane: Plane) -> None:
    reply = plane.send("GET", "/")
    assert reply.status == 200
    assert (reply.json["name"], reply.json["version"]) == ("Dragons", __version__)
    links = reply.json["links"]
    assert set(links) | {"index"} == {name for name, roles in ACCESS.items() if Role.ANYONE in roles}
    for link in links.values():
        assert plane.send("GET", link).status == 200
