"""Sessions: a goal from its commitment to its end."""

from __future__ import annotations

from dragons.api import ledger_views
from dragons.api.answers import granted_or_raise, recorded
from dragons.api.operation import Call, Operation
from dragons.api.query import SessionQuery
from dragons.control.sessions import close_session, open_session
from dragons.evidence.receipt import SESSION, Session
from dragons.wire.base import Empty, Recorded, Statement
from dragons.wire.evidence import SessionOpened, Sessions, SessionView


async def open_one(call: Call[Statement]) -> SessionOpened:
    """Commit to a goal before work on it begins."""
    statement = call.input.statement
    issuer = call.backend.keyring.issuer(call.caller.tenant_id)
    outcome = await call.write(lambda tx: open_session(tx, issuer, call.caller, statement))
    receipt = recorded(granted_or_raise(outcome))
    return SessionOpened(session_id=statement.body(SESSION, Session).session_id, receipt=receipt)


async def close(call: Call[Statement]) -> Recorded:
    """End a session; after its lease's end this is still accepted, marked late."""
    statement = call.input.statement
    issuer = call.backend.keyring.issuer(call.caller.tenant_id)
    return recorded(await call.write(lambda tx: close_session(tx, issuer, call.caller, statement)))


async def list_sessions(call: Call[SessionQuery]) -> Sessions:
    """The newest sessions."""
    wanted = call.input
    return await call.read(
        lambda reader: ledger_views.sessions(
            reader, call.caller.tenant_id, wanted.agent or None, open_only=wanted.open
        )
    )


async def show(call: Call[Empty]) -> SessionView:
    """One session."""
    session_id = call.path["session_id"]
    return await call.read(lambda reader: ledger_views.session(reader, call.caller.tenant_id, session_id))


OPERATIONS = (
    Operation("sessions.open", "POST", "/v1/sessions", open_one, Statement, SessionOpened),
    Operation("sessions.close", "POST", "/v1/sessions/closings", close, Statement, Recorded),
    Operation("sessions.list", "GET", "/v1/sessions", list_sessions, SessionQuery, Sessions),
    Operation("sessions.show", "GET", "/v1/sessions/{session_id}", show, answer=SessionView),
)
