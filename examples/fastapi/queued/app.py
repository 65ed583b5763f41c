"""Receives GitHub and Stripe webhooks and works in the request: Caddy has already responded to the provider."""

import logging
from typing import Any, Dict

from fastapi import FastAPI, Header

app = FastAPI()
log = logging.getLogger("uvicorn.error")


@app.post("/webhooks/github", status_code=204)
def github(payload: Dict[str, Any], webhook_verified_id: str = Header(), webhook_verified_event: str = Header()):
    handle_github(webhook_verified_id, webhook_verified_event, payload)  # after an exception Caddy retries


@app.post("/webhooks/stripe", status_code=204)
def stripe(event: Dict[str, Any]):
    handle_stripe(event)


def handle_github(delivery_id: str, event: str, payload: Dict[str, Any]):
    log.info("github delivery %s: %s %s", delivery_id, event, payload.get("action", "-"))


def handle_stripe(event: Dict[str, Any]):
    log.info("stripe event %s: %s", event["id"], event["type"])
