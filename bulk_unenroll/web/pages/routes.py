"""Which address shows or does what."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from bulk_unenroll.web.pages import again, columns, customer, files, home, mended, plan, run, upload

JOB: Final = "/jobs/{job}"
ROUTES: Final = (
    web.get("/", home.home),
    web.get("/refused/{name}", home.told),
    web.put("/uploads", upload.upload),
    web.post("/uploads", upload.upload_form),
    web.get(JOB, run.overview),
    web.get(f"{JOB}/columns", columns.columns),
    web.post(f"{JOB}/plan", columns.make_plan),
    web.get(f"{JOB}/plan", plan.plan),
    web.post(f"{JOB}/confirm", plan.confirm),
    web.post(f"{JOB}/rehearse", plan.rehearse),
    web.get(f"{JOB}/now", run.now),
    web.post(f"{JOB}/stop", run.stop),
    web.post(f"{JOB}/resume", run.resume),
    web.get(f"{JOB}/retry", again.ask_again),
    web.post(f"{JOB}/retry", again.retry),
    web.post(f"{JOB}/mended", mended.give),
    web.post(f"{JOB}/mended/drop", mended.drop),
    web.post(f"{JOB}/files", files.prepare),
    web.get(f"{JOB}/files/{{name}}", files.download),
    web.get(f"{JOB}/customer", customer.another),
    web.post(f"{JOB}/customer", customer.customer),
    web.post(f"{JOB}/delete", home.delete),
)
