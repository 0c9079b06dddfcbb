"""Create, get, update and delete an assessment of a trace."""

import json
from typing import Any

import msgspec

from railtrack.api.assessments.queries import insert_assessments
from railtrack.api.assessments.schemas import (
    COLUMNS,
    Assessment,
    AssessmentInput,
    check_name,
    expectation_value,
    feedback_value,
    from_row,
    new_row,
)
from railtrack.auth import ASSESSMENT_CREATE, ASSESSMENT_DELETE, ASSESSMENT_EDIT, ASSESSMENT_READ
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Tx, UniqueViolation
from railtrack.db.retry import idempotent
from railtrack.db.sql import bind
from railtrack.errors import ApiError, exists, invalid, invalid_value, missing, not_found
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint

SELECT = f"SELECT {COLUMNS} FROM assessments WHERE trace_id = $1 AND assessment_id = $2"  # noqa: S608 (our own text)


class AssessmentResponse(msgspec.Struct):
    assessment: Assessment


class CreateAssessment(Request):
    trace_id: RequiredStr
    assessment: AssessmentInput


@endpoint("POST", "traces/{trace_id}/assessments", access=ASSESSMENT_CREATE, api="3.0")
async def create_assessment(ctx: Context, req: CreateAssessment) -> AssessmentResponse:
    """Add an assessment to a trace. The one that it overrides, if any, is not valid any more."""
    row = new_row(req.assessment, now_ms())
    try:
        async with ctx.db.write() as tx:
            await _lock_trace(tx, req.trace_id)
            await insert_assessments(tx, [(req.trace_id, row)])
            tx.set_commit_check(SELECT, req.trace_id, row.assessment_id)
            return AssessmentResponse(await _load(tx, req.trace_id, row.assessment_id))
    except UniqueViolation as error:
        raise exists(f"Assessment with ID '{row.assessment_id}' already exists.") from error


async def _lock_trace(tx: Tx, trace_id: str) -> None:
    """Lock a trace until the transaction ends. Raise RESOURCE_DOES_NOT_EXIST."""
    if not await tx.fetch_row("SELECT 1 FROM trace_info WHERE request_id = $1 FOR NO KEY UPDATE", trace_id):
        raise not_found(f"Trace with ID '{trace_id[:250]}' not found.")


class GetAssessment(Request):
    trace_id: RequiredStr
    assessment_id: RequiredStr


@endpoint("GET", "traces/{trace_id}/assessments/{assessment_id}", access=ASSESSMENT_READ, api="3.0")
async def get_assessment(ctx: Context, req: GetAssessment) -> AssessmentResponse:
    """Return an assessment, even if it is overridden."""
    return AssessmentResponse(await _load(ctx.db, req.trace_id, req.assessment_id))


async def _load(tx: Tx, trace_id: str, assessment_id: str) -> Assessment:
    row = await tx.fetch_row(SELECT, trace_id, assessment_id)
    if row is None:
        raise await _no_such_assessment(tx, trace_id, assessment_id)
    return from_row(row)


async def _no_such_assessment(tx: Tx, trace_id: str, assessment_id: str) -> ApiError:
    if not await tx.fetch_row("SELECT 1 FROM trace_info WHERE request_id = $1", trace_id):
        return not_found(f"Trace with request_id '{trace_id[:250]}' not found")
    return not_found(f"Assessment with ID '{assessment_id[:250]}' not found for trace '{trace_id[:250]}'")


class UpdateAssessment(Request):
    trace_id: RequiredStr
    assessment_id: RequiredStr
    assessment: AssessmentInput
    update_mask: Any = None
    """The names of the fields to update, separated by commas, in camel case or not."""


@endpoint("PATCH", "traces/{trace_id}/assessments/{assessment_id}", access=ASSESSMENT_EDIT, api="3.0")
@idempotent
async def update_assessment(ctx: Context, req: UpdateAssessment) -> AssessmentResponse:
    """Update the fields in the mask. Metadata is merged. As in MLflow, the mask may name other fields in vain."""
    mask = _mask(req.update_mask)
    sent = req.assessment
    name = sent.assessment_name if "assessment_name" in mask else None
    check_name(name or "")
    changes_feedback, changes_expectation = "feedback" in mask, "expectation" in mask
    if changes_feedback and changes_expectation:
        raise invalid("Cannot specify both `expectation` and `feedback` parameters.")
    async with ctx.db.write() as tx:
        row = await tx.fetch_row(
            "SELECT assessment_type, assessment_metadata FROM assessments "
            "WHERE trace_id = $1 AND assessment_id = $2 FOR NO KEY UPDATE",
            req.trace_id,
            req.assessment_id,
        )
        if row is None:
            raise await _no_such_assessment(tx, req.trace_id, req.assessment_id)
        kind, stored_metadata = row
        if changes_expectation and kind != "expectation":
            raise invalid("Cannot update expectation value on a Feedback assessment.")
        if changes_feedback and kind != "feedback":
            raise invalid("Cannot update feedback value on an Expectation assessment.")
        value = None
        if changes_expectation and sent.expectation is not None:
            value = expectation_value(sent.expectation)
        elif changes_feedback and sent.feedback is not None:
            value = feedback_value(sent.feedback)
        elif changes_expectation or changes_feedback:
            raise missing(f"assessment.{kind}")
        metadata = json.loads(stored_metadata) if stored_metadata else {}
        if "metadata" in mask:
            metadata |= sent.metadata
        await tx.execute(
            *bind(
                """
                UPDATE assessments SET name = COALESCE(:name, name), value = COALESCE(:value, value),
                    error = CASE WHEN :replaces_value THEN :error ELSE error END,
                    aggregate_value = CASE WHEN :replaces_value THEN :number ELSE aggregate_value END,
                    is_numeric_value = CASE WHEN :replaces_value THEN :is_number ELSE is_numeric_value END,
                    rationale = COALESCE(:rationale, rationale), assessment_metadata = :metadata,
                    last_updated_timestamp = :now
                WHERE trace_id = :trace_id AND assessment_id = :assessment_id
                """,
                trace_id=req.trace_id,
                assessment_id=req.assessment_id,
                name=name,
                value=value.json if value else None,
                replaces_value=value is not None,
                error=value.error if value else None,
                number=value.number if value else None,
                is_number=value.is_number if value else False,
                rationale=sent.rationale if "rationale" in mask and kind != "expectation" else None,
                metadata=json.dumps(metadata) if metadata else None,
                now=now_ms(),
            )
        )
        return AssessmentResponse(await _load(tx, req.trace_id, req.assessment_id))


def _mask(sent: Any) -> set[str]:
    """Return the field names of a mask, in snake case. Clients send "assessmentName,rationale"."""
    if not sent:
        raise missing("update_mask")
    if not isinstance(sent, str):
        raise invalid_value("update_mask", sent)
    mask = set(sent.replace("assessmentName", "assessment_name").split(","))
    if "valid" in mask:
        raise invalid("The field 'valid' of an assessment cannot be updated: create one that overrides it.")
    return mask


class DeleteAssessment(Request):
    trace_id: RequiredStr
    assessment_id: RequiredStr


@endpoint("DELETE", "traces/{trace_id}/assessments/{assessment_id}", access=ASSESSMENT_DELETE, api="3.0")
@idempotent
async def delete_assessment(ctx: Context, req: DeleteAssessment) -> EmptyResponse:
    """Delete an assessment, and make valid what it overrode. To delete it again is no error."""
    async with ctx.db.write() as tx:
        overridden = await tx.fetch_value(
            "DELETE FROM assessments WHERE trace_id = $1 AND assessment_id = $2 RETURNING overrides",
            req.trace_id,
            req.assessment_id,
        )
        if overridden:
            await tx.execute(
                "UPDATE assessments SET valid = TRUE WHERE trace_id = $1 AND assessment_id = $2",
                req.trace_id,
                overridden,
            )
    return EMPTY_RESPONSE
