"""Imports as jobs: send a file and a map, look how far it is, stop it, go on with it."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from api.context import Caller, Services, Use
from api.errors import ServiceError
from api.imports.mapfile import MAX_MAP_BYTES
from api.imports.report import error_csv, report, report_text
from api.principals import Role

router = APIRouter(prefix="/v1/imports", tags=["批量导入 imports"])
JobId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{16}$", description="Import id")]

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "map"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "CSV or NDJSON; its name tells which",
                        },
                        "map": {
                            "type": "string",
                            "description": "The map file (TOML), see docs/importing.md",
                        },
                        "type": {"type": "string", "description": "Type code or slug"},
                        "dry_run": {"type": "string", "enum": ["true", "false"]},
                    },
                }
            }
        },
    }
}


class Rows(BaseModel):
    """Rows of the file, rows taken so far, rows read into a licence or a fault."""

    total: int = Field(description="0 until the file has been looked through")
    taken: int
    read: int


class ImportJob(BaseModel):
    """How far an import is, and what it did so far."""

    id: str
    state: Literal["running", "stopped", "done", "failed"]
    fault: str | None = Field(description="Why it failed; see docs/errors.md")
    dry_run: bool
    type: str = Field(description="证照类型代码")
    file: str
    sha256: str
    rows: Rows
    skipped: int
    issued: int
    renewed: int
    ended: dict[str, int] = Field(description="Legal state → licences that the file says ended")
    duplicates: int
    refused: int
    refused_by_code: dict[str, int]
    seconds: float
    rows_per_second: float | None


class ImportJobs(BaseModel):
    """The latest first."""

    imports: list[ImportJob]


@router.post(
    "", status_code=202, summary="提交导入 Import a file", response_model=ImportJob,
    openapi_extra=_FORM,
)  # fmt: skip
async def begin(use: Use, caller: Caller, request: Request) -> dict[str, Any]:
    """A clerk of the issuing department; a seal-keeper where the map ends licences. The same file
    with the same map and type is the same job: it goes on where it stopped."""
    caller.require(Role.CLERK, Role.SEAL_KEEPER)  # before anything is read
    most = use.city.settings.max_import_mib << 20
    bounded = Request(request.scope, _bounded(request.receive, most))
    try:
        form = await bounded.form(max_files=2, max_fields=4, max_part_size=MAX_MAP_BYTES)
    except HTTPException as error:  # what Starlette makes of a malformed form
        raise ServiceError("request-invalid", str(error.detail)) from error
    try:
        return await _begin(use, caller, form)
    finally:
        await form.close()


async def _begin(use: Services, caller: Caller, form: FormData) -> dict[str, Any]:
    file, map_, type_name = form.get("file"), form.get("map"), form.get("type")
    if form.keys() - {"file", "map", "type", "dry_run"}:
        raise ServiceError("request-invalid", "file, map, type, dry_run")
    if not isinstance(file, UploadFile) or map_ is None:
        raise ServiceError("request-invalid", "file and map")
    if isinstance(map_, UploadFile):
        try:
            map_ = (await map_.read(MAX_MAP_BYTES + 1)).decode()
        except UnicodeDecodeError as error:
            raise ServiceError("import-map-invalid", "UTF-8") from error
    if isinstance(type_name, UploadFile) or form.get("dry_run", "false") not in ("true", "false"):
        raise ServiceError("request-invalid", "type, dry_run")
    job = await run_in_threadpool(
        use.imports.accept,
        caller,
        file.file,
        file.filename or "",
        map_,
        type_name,
        form.get("dry_run") == "true",
    )
    return report(job)


def _bounded(receive: Receive, most: int) -> Receive:
    """Refuses a body above `most` bytes while it comes in."""
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most:
            raise ServiceError("request-too-large", f"at most {most} bytes")
        return message

    return bounded


@router.get("", summary="本部门的导入 One's department's imports", response_model=ImportJobs)
def list_imports(use: Use, caller: Caller) -> dict[str, Any]:
    """The fifty latest."""
    caller.require(Role.CLERK, Role.SEAL_KEEPER)
    jobs = use.imports.jobs.of_departments(use.city.acts_for(caller.department))
    return {"imports": [report(job) for job in jobs]}


@router.get("/{job_id}", summary="进度 How far it is", response_model=ImportJob)
def show(job_id: JobId, use: Use, caller: Caller) -> dict[str, Any]:
    return report(use.imports.get(caller, job_id))


@router.post("/{job_id}/stop", summary="停止 Stop it", response_model=ImportJob)
def stop(job_id: JobId, use: Use, caller: Caller) -> dict[str, Any]:
    """It ends after the batch under way; what is in stays in."""
    return report(use.imports.stop(caller, job_id))


@router.post(
    "/{job_id}/resume", status_code=202, summary="继续 Go on with it", response_model=ImportJob
)
def resume(job_id: JobId, use: Use, caller: Caller) -> dict[str, Any]:
    """From the row where it stopped."""
    return report(use.imports.resume(caller, job_id))


@router.get(
    "/{job_id}/errors",
    summary="错误文件 The error file",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}, "description": "CSV: row, field, code, reasons"}},
)
def errors(job_id: JobId, use: Use, caller: Caller) -> Response:
    """Row, field and reason; no value of the file."""
    job = use.imports.get(caller, job_id)
    headers = {
        "Content-Disposition": f'attachment; filename="{job.id}.errors.csv"',
        "Cache-Control": "no-store",
    }
    text = error_csv(use.imports.jobs.errors(job_id))
    return Response(text, media_type="text/csv", headers=headers)


@router.get(
    "/{job_id}/report",
    summary="报告 The report",
    response_model=ImportJob,
    responses={200: {"content": {"text/plain": {}}}},
)
def show_report(
    job_id: JobId,
    use: Use,
    caller: Caller,
    format: Annotated[Literal["json", "text"], Query()] = "json",
) -> Any:
    """For programs, or for people."""
    job = use.imports.get(caller, job_id)
    return report(job) if format == "json" else Response(report_text(job), media_type="text/plain")
