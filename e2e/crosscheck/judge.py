"""Lists the vendors' libraries from PyPI, or verifies deliveries with them, for the
tests of this directory. The protocol is that of run.mjs. Versions are in
requirements.txt.
"""

import base64
import json
import sys


def box(d):
    from box_sdk_gen.managers.webhooks import WebhooksManager

    return WebhooksManager.validate_message(d["text"], d["headers"], d["secret"])


def castle(d):
    from types import SimpleNamespace

    from castle.webhooks.verify import WebhooksVerify

    headers = {name.title(): value for name, value in d["headers"].items()}
    WebhooksVerify.call(SimpleNamespace(headers=headers, data=d["body"]), SimpleNamespace(api_secret=d["secret"]))
    return True


def google_auth(d):
    from types import SimpleNamespace

    from google.oauth2 import id_token

    # Replaces the certificates that Google publishes with the key that the receiver trusts.
    certificates = json.dumps({d["label"]: certificate(d["secret"])}).encode()

    def request(url, method="GET", **_):
        return SimpleNamespace(status=200, headers={}, data=certificates)

    token = d["headers"]["authorization"].removeprefix("Bearer ")
    claims = id_token.verify_oauth2_token(token, request, d["options"]["audience"])
    return claims["email"] == d["options"]["service_account"] and claims["email_verified"]


def certificate(public_key):
    """Return a certificate for this key, signed by another, like those that Google publishes."""
    from datetime import datetime, timedelta, timezone

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    name = x509.Name([])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .public_key(serialization.load_pem_public_key(public_key.encode()))
        .sign(rsa.generate_private_key(65537, 2048), hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def slack(d):
    from slack_sdk.signature import SignatureVerifier

    return SignatureVerifier(d["secret"]).is_valid_request(d["body"], d["headers"])


LIBRARIES = {
    "boxsdk": ("box", box),
    "castle": ("castle", castle),
    "google-auth": ("google-pubsub", google_auth),
    "google-auth (Google Play)": ("google-play-rtdn", google_auth),
    "slack_sdk": ("slack", slack),
}


def judge(d):
    d["body"] = base64.b64decode(d["body_b64"])
    d["text"] = d["body"].decode(errors="replace")
    try:
        return {"accepted": LIBRARIES[d["library"]][1](d) is True, "why": ""}
    except Exception as err:  # a library refuses a delivery with an exception
        return {"accepted": False, "why": f"{type(err).__name__}: {err}"}


if sys.argv[1] == "list":
    for library, (preset, _) in LIBRARIES.items():
        print(json.dumps({"name": library, "preset": preset, "empty": preset == "slack"}))
else:
    for line in sys.stdin:
        print(json.dumps(judge(json.loads(line))))
