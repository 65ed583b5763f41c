"""A FastAPI app that verifies GitHub's deliveries itself, as tutorials do."""
import hashlib
import hmac
import json
import os

from fastapi import FastAPI, Header, HTTPException, Request

app = FastAPI()
secret = os.environ["WEBHOOK_SECRET"].encode()
seen = set()  # not shared between workers


@app.post("/github")
async def github(
    request: Request,
    x_hub_signature_256: str = Header(""),
    x_github_delivery: str = Header(""),
):
    body = await request.body()
    expected = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(x_hub_signature_256, expected):
        raise HTTPException(status_code=401)
    if x_github_delivery in seen:
        return None
    seen.add(x_github_delivery)
    json.loads(body)
    return "ok"
