"""A Flask app that verifies GitHub's deliveries itself, as tutorials do."""
import hashlib
import hmac
import os

from flask import Flask, abort, request

app = Flask(__name__)
secret = os.environ["WEBHOOK_SECRET"].encode()
seen = set()  # not shared between workers


@app.post("/github")
def github():
    body = request.get_data()
    expected = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(request.headers.get("X-Hub-Signature-256", ""), expected):
        abort(401)
    if request.headers["X-GitHub-Delivery"] in seen:
        return "", 200
    seen.add(request.headers["X-GitHub-Delivery"])
    request.get_json()
    return "ok"
