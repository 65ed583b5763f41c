#!/usr/bin/env python3
"""Convert conformance vectors from the shared format to Caddy's own JSON.

    python3 catalogue/testdata/convert.py --into DIRECTORY FILE...

A shared vector names its provider and has a config with a vocabulary of its
own:

    {"provider": "stripe", "config": {"secrets": ["s"], "tolerance_s": 300}, ...}

A converted vector has the JSON of the provider as it is in Caddy's config:

    {"provider": {"name": "stripe", "secrets": [{"secret": "s"}], "tolerance": "300s"}, ...}

Everything else in a vector stays as it is. A vector that is converted already
is not changed. The converted files are named after the folder of a file that
is called vectors.json, and otherwise after the file: providers/stripe/vectors.json
becomes DIRECTORY/stripe.json. With --into "-" they are printed as one array.
"""

import argparse
import base64
import json
import pathlib
import sys
import textwrap

# Providers with another name in the shared vectors, and their scheme.
PROVIDERS = {
    "buildkite-token": {"name": "buildkite", "scheme": "token"},
    "brevo-bearer": {"name": "brevo", "scheme": "bearer"},
    "front-channel": {"name": "front"},
}

# Members of a config whose option has another name.
OPTIONS = {
    "mode": "scheme",
    "version": "scheme",
    "use": "scheme",
    "topic_arns": "topics",
    "service_account_email": "service_account",
    "trust_anchors": "roots",
    "required_components": "components",
}

# Members that describe a vendor's library, and set nothing here. seen_tokens
# becomes a member of the vector: see convert.
IGNORED = {"key_encoding", "revocation", "skew_s", "channel_ids", "required_params", "seen_tokens"}


def escape(text):
    """Keep Caddy from reading a brace as the start of a placeholder."""
    return (text or "").replace("{", "\\{")


def secret(value, label=""):
    return {"secret": escape(value), **({"label": label} if label else {})}


def public_key(key):
    """A key is a text, or an object with its ID."""
    if isinstance(key, str):
        return secret(key)
    value = key.get("secret_b64") or key["pem"]
    if "keyid" in key and "alg" in key:
        value = key["alg"] + ":" + value
    return secret(value, key.get("kid", key.get("keyid", "")))


def listed(keys):
    """Keys are a list, or an object with the IDs as names."""
    return [{"pem": pem, "kid": kid} for kid, pem in keys.items()] if isinstance(keys, dict) else keys


def secrets(config):
    """Remove everything from the config that is a secret here, and return it."""
    values = config.pop("secrets", [])
    keys = listed(config.pop("public_keys", [])) + config.pop("keys", [])
    if not values and "public_key" in config:
        keys.append(config.pop("public_key"))
    labels = config.pop("key_ids", [])
    labels += [config.pop(name) for name in ("key_id", "public_key") if name in config]
    if "token" in config:
        values = values + [config.pop("token")]
    if "username" in config:
        values = values + [config.pop("username") + ":" + config.pop("password", "")]
    labels += [""] * (len(values) - len(labels))
    return [secret(v, label) for v, label in zip(values, labels)] + [public_key(k) for k in keys]


def pem(der_base64):
    text = base64.b64encode(base64.b64decode(der_base64)).decode()
    return "\n".join(["-----BEGIN CERTIFICATE-----", *textwrap.wrap(text, 64), "-----END CERTIFICATE-----", ""])


def option(provider, name, value):
    """Return an option for a member of the config, None if it needs none."""
    match name:
        case "tolerance_s" | "max_age_s":
            return ("tolerance", f"{value}s") if value > 0 else None
        case "environment":
            return name, value.lower()
        case "sandbox":
            return ("environment", "sandbox") if value else None
        case "app_apple_id":
            return "app_id", str(value)
        case "batch_first_event":
            return ("scheme", "batch") if value else None
        case "certs":  # certificates by URL
            return "certificates", list(value.values())
        case "root_certificates_der_b64":
            return "roots", [pem(der) for der in value]
        case "jwks":
            return name, escape(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
        case "issuer":
            return "issuers", [value]
        case "mode" if provider == "gitlab":
            return None  # the format of the secret decides
    return OPTIONS.get(name, name), value


def provider_json(name, config):
    provider = dict(PROVIDERS.get(name, {"name": name}))
    config = {k: v for k, v in config.items() if k not in IGNORED}
    if found := secrets(config):
        provider["secrets"] = found
    for member, value in config.items():
        if (pair := option(name, member, value)) is not None:
            provider[pair[0]] = pair[1]
    return provider


def convert(vector):
    if "config" not in vector:
        return vector
    converted = {}
    for name, value in vector.items():
        if name == "provider":
            converted[name] = provider_json(value, vector["config"])
        elif name != "config":
            converted[name] = value
    if "seen_tokens" in vector["config"]:
        converted["sent_before"] = True  # the request is the second of two copies
    return converted


def read(path):
    try:
        vectors = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        sys.exit(f"{path}: {err}")
    converted = []
    for number, vector in enumerate(vectors, 1):
        try:
            converted.append(convert(vector))
        except (KeyError, TypeError, ValueError, AttributeError) as err:
            sys.exit(f"{path}: vector {number} ({vector.get('name')}): {err!r}")
    return converted


def write(vectors, file):
    json.dump(vectors, file, indent=1, ensure_ascii=False)
    file.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", required=True, metavar="DIRECTORY", help='where to write the converted files, "-" for standard output')
    parser.add_argument("files", nargs="+", metavar="FILE", type=pathlib.Path, help="a JSON array of shared vectors")
    args = parser.parse_args()
    if args.into == "-":
        write([v for path in args.files for v in read(path)], sys.stdout)
        return
    folder = pathlib.Path(args.into)
    folder.mkdir(parents=True, exist_ok=True)
    converted = [(path, read(path)) for path in args.files]
    for path, vectors in converted:
        name = path.parent.name if path.name == "vectors.json" and path.parent.name else path.stem
        with open(folder / f"{name}.json", "w", encoding="utf-8", newline="\n") as file:
            write(vectors, file)


if __name__ == "__main__":
    main()
