"""Receives GitHub and Stripe webhooks and works in the request: Caddy has already responded to the provider."""

import logging

from flask import Flask, request

app = Flask(__name__)
log = logging.getLogger("webhooks")


@app.post("/webhooks/github")
def github():
    handle_github(request.headers["Webhook-Verified-Id"], request.headers["Webhook-Verified-Event"], request.get_json())
    return "", 204  # done: after any other status or an exception Caddy retries


@app.post("/webhooks/stripe")
def stripe():
    handle_stripe(request.get_json())
    return "", 204


def handle_github(delivery_id, event, payload):
    log.warning("github delivery %s: %s %s", delivery_id, event, payload.get("action", "-"))


def handle_stripe(event):
    log.warning("stripe event %s: %s", event["id"], event["type"])
