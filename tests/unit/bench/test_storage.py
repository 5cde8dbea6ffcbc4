from bench.sizes import TINY
from bench.storage import measure


def test_what_is_stored_is_the_sum_of_its_parts() -> None:
    found = measure(TINY)
    (line,) = found.lines
    whole = [detail.value for detail in found.details if detail.of == "whole pages"]
    assert abs(line.ours.median - sum(whole)) < 1e-6
    table = next(detail.value for detail in found.details if detail.name == "table receipts")
    content = {d.name: d.value for d in found.details if d.name.startswith("content of")}
    free = next(detail.value for detail in found.details if detail.name == "not content")
    assert abs(sum(content.values()) + free - table) < 1e-6
    assert content["content of header_signature"] == 64
    assert content["content of leaf_hash"] == 32


def test_what_is_written_is_more_than_what_is_content() -> None:
    details = {detail.name: detail.value for detail in measure(TINY).details}
    content = sum(value for name, value in details.items() if name.startswith("content of"))
    assert details["written a receipt"] > content
    assert details["write-ahead log, file"] > 0
