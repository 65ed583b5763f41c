"""Receives GitHub and Stripe webhooks. Caddy has verified and de-duplicated them."""

import logging
from typing import Any, Dict

from fastapi import BackgroundTasks, FastAPI, Header

app = FastAPI()
log = logging.getLogger("uvicorn.error")


@app.post("/webhooks/github", status_code=202)
async def github(
    payload: Dict[str, Any],
    tasks: BackgroundTasks,
    webhook_verified_id: str = Header(),
    webhook_verified_event: str = Header(),
):
    tasks.add_task(handle_github, webhook_verified_id, webhook_verified_event, payload)


@app.post("/webhooks/stripe")
async def stripe(event: Dict[str, Any], tasks: BackgroundTasks):
    tasks.add_task(handle_stripe, event)


def handle_github(delivery_id: str, event: str, payload: Dict[str, Any]):
    action = payload.get("action", "-")
    log.info("github delivery %s: %s %s", delivery_id, event, action)


def handle_stripe(event: Dict[str, Any]):
    log.info("stripe event %s: %s", event["id"], event["type"])
