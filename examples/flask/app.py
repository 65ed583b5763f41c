"""Receives GitHub and Stripe webhooks. Caddy has verified and de-duplicated them."""

import logging
from threading import Thread

from flask import Flask, request

app = Flask(__name__)
log = logging.getLogger("webhooks")


@app.post("/webhooks/github")
def github():
    delivery_id = request.headers["Webhook-Verified-Id"]
    event = request.headers["Webhook-Verified-Event"]
    Thread(target=handle_github, args=(delivery_id, event, request.get_json())).start()
    return "", 202


@app.post("/webhooks/stripe")
def stripe():
    event = request.get_json()
    Thread(target=handle_stripe, args=(event,)).start()
    return "", 200


def handle_github(delivery_id, event, payload):
    action = payload.get("action", "-")
    log.warning("github delivery %s: %s %s", delivery_id, event, action)


def handle_stripe(event):
    log.warning("stripe event %s: %s", event["id"], event["type"])
