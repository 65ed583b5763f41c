"""Receives GitHub and Stripe webhooks. Caddy has verified and de-duplicated them."""

import json
import logging

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

# In your project this is in settings.py.
settings.configure(ALLOWED_HOSTS=["localhost", "127.0.0.1"], ROOT_URLCONF=__name__)
log = logging.getLogger("webhooks")


@csrf_exempt
@require_POST
def github(request):
    delivery_id = request.headers["Webhook-Verified-Id"]
    event = request.headers["Webhook-Verified-Event"]
    action = json.loads(request.body).get("action", "-")
    log.warning("github delivery %s: %s %s", delivery_id, event, action)
    return HttpResponse(status=202)


@csrf_exempt
@require_POST
def stripe(request):
    event = json.loads(request.body)
    log.warning("stripe event %s: %s", event["id"], event["type"])
    return HttpResponse(status=200)


urlpatterns = [path("webhooks/github", github), path("webhooks/stripe", stripe)]
application = get_wsgi_application()
