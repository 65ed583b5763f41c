"""Wraps an unchanged example app and records the requests that reach it.

Every request is appended to $RECORDER_DIR/seen as one line of JSON. Two files simulate
failures: while `hold` exists, requests wait; a request that finds `fail` or `fail-…`
removes the file and gets the status in it, or 500, without calling the app.
"""

import asyncio
import base64
import glob
import io
import json
import os
import time

FOLDER = os.environ["RECORDER_DIR"]
SEEN, HOLD, FAIL = (os.path.join(FOLDER, name) for name in ("seen", "hold", "fail"))
LONGEST_HOLD = 10  # seconds


def wsgi():
    """Return the Flask app, for gunicorn 'recorder:wsgi()'."""
    from app import app

    def recording(environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        headers = [(name[5:], value) for name, value in environ.items() if name.startswith("HTTP_")]
        record(environ["PATH_INFO"], headers, body)
        until = time.monotonic() + LONGEST_HOLD
        while os.path.exists(HOLD) and time.monotonic() < until:
            time.sleep(0.01)
        if status := must_fail():
            start_response(f"{status} Failed", [("Content-Length", "0")])
            return [b""]
        return app(environ, start_response)

    return recording


def asgi():
    """Return the FastAPI app, for uvicorn --factory recorder:asgi."""
    from app import app

    async def recording(scope, receive, send):
        if scope["type"] != "http":
            return await app(scope, receive, send)
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        record(scope["path"], headers, body)
        until = time.monotonic() + LONGEST_HOLD
        while os.path.exists(HOLD) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        if status := must_fail():
            await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
            return await send({"type": "http.response.body", "body": b""})

        async def again():
            return {"type": "http.request", "body": body, "more_body": False}

        await app(scope, again, send)

    return recording


def record(path, headers, body):
    line = json.dumps(
        {
            "path": path,
            "headers": [[name.lower().replace("_", "-"), value] for name, value in headers],
            "body": base64.b64encode(body).decode(),
        }
    )
    # Append each line with one write, so that lines of several workers do not mix.
    file = os.open(SEEN, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, line.encode() + b"\n")
    finally:
        os.close(file)


def must_fail():
    """Return the status if this request must fail. The worker that removes the file fails it."""
    for path in sorted(glob.glob(FAIL + "*")):
        try:
            with open(path) as file:
                status = int(file.read() or 500)
            os.remove(path)
        except FileNotFoundError:
            continue
        return status
    return None
