"""Receives webhooks of every provider. Caddy signs all of them in one format."""

import logging
import os

from fastapi import FastAPI, HTTPException, Request
from standardwebhooks import Webhook, WebhookVerificationError

app = FastAPI()
log = logging.getLogger("uvicorn.error")
signed = Webhook(os.environ["APP_SECRET"])


@app.post("/webhooks/{provider}", status_code=204)
async def webhook(provider: str, request: Request):
    try:
        event = signed.verify(await request.body(), dict(request.headers))
    except WebhookVerificationError:
        raise HTTPException(401)  # the request bypassed Caddy
    log.info("signed delivery %s of %s: %s", request.headers["Webhook-Id"], provider, event.get("action"))
