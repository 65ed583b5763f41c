"""Receives webhooks of every provider. Caddy signs all of them in one format."""

import logging
import os

from flask import Flask, abort, request
from standardwebhooks import Webhook, WebhookVerificationError

app = Flask(__name__)
log = logging.getLogger("webhooks")
signed = Webhook(os.environ["APP_SECRET"])


@app.post("/webhooks/<provider>")
def webhook(provider):
    try:
        event = signed.verify(request.get_data(), dict(request.headers))
    except WebhookVerificationError:
        abort(401)  # the request bypassed Caddy
    log.warning("signed delivery %s of %s: %s", request.headers["Webhook-Id"], provider, event.get("action"))
    return "", 204
