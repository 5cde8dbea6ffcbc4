from __future__ import annotations

from dragons.core.clock import format_time
from dragons.core.errors import ForbiddenError, InvalidInputError, NotFoundError
from dragons.core.ids import RECEIPT, new_id
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import Erasure
from tests.support.expect import fails
from tests.support.plane import Plane, Tenancy, assert_sound


def test_an_erasure_leaves_the_receipts_and_is_one_itself(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    done = [acme.work(agent).appended.receipt_id for _ in range(2)]
    acme.erase(*done)
    assert acme.statements(Kind.ERASED, Erasure)[0].receipts == done
    assert [one.receipt_id for one in acme.receipts(Kind.WORK)] == done
    assert_sound(plane, acme)


def test_only_receipts_that_exist_in_the_tenant_are_erased(acme: Tenancy, globex: Tenancy) -> None:
    agent = acme.started(acme.ready())
    mine = acme.work(agent).appended.receipt_id
    theirs = globex.work(globex.started(globex.ready())).appended.receipt_id
    for unknown in (theirs, new_id(RECEIPT, 1)):
        with fails(NotFoundError, "receipt_missing"):
            acme.erase(mine, unknown)
    assert not acme.receipts(Kind.ERASED)


def test_an_erasure_is_signed_now_by_an_operator_of_the_tenant(acme: Tenancy, globex: Tenancy) -> None:
    done = acme.work(acme.started(acme.ready())).appended.receipt_id
    with fails(InvalidInputError, "date_implausible"):
        acme.erase(done, erased_at=format_time(acme.now_ms - 600_001))
    with fails(ForbiddenError, "signer_unknown"):
        acme.erase(done, signer=globex.operator)
    with fails(ForbiddenError, "tenant_mismatch"):
        acme.erase(done, tenant_id=globex.tenant_id)
