package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

const reportSecret = "a secret never to be reported"

func reporting(t *testing.T) *Trial {
	t.Helper()
	trial, err := OpenTrial(quietly(t), []byte(`{"namespace":"orders","provider":{"name":"github","secrets":[{"secret":"`+reportSecret+`"}]}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trial.Close)
	return trial
}

func TestAccessLogContainsTheOutcome(t *testing.T) {
	verified := &signature.Delivery{ID: "id-1", Event: "push"}
	for _, test := range []struct {
		name string
		d    *delivery
		want string
	}{
		{"genuine", &delivery{outcome: Verified, verified: verified}, "webhook_endpoint=orders webhook_event=push webhook_id=id-1 webhook_outcome=verified webhook_provider=github"},
		{"forged: its headers are not logged", &delivery{outcome: InvalidSignature, reason: "why"}, "webhook_endpoint=orders webhook_outcome=invalid_signature webhook_provider=github webhook_reason=why"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.d.provider, test.d.endpoint = &loadedProvider{info: provider.Info{Name: "github"}}, "orders"
			fields := zapcore.NewMapObjectEncoder()
			if err := test.d.MarshalLogObject(fields); err != nil {
				t.Fatal(err)
			}
			var parts []string
			for name, value := range fields.Fields {
				parts = append(parts, fmt.Sprint(name, "=", value))
			}
			slices.Sort(parts)
			if got := strings.Join(parts, " "); got != test.want {
				t.Errorf("got %s", got)
			}
		})
	}
}

// spans returns the attributes and events of the request's recorded span.
func spans(trial *Trial, r *http.Request) (map[string]string, []string) {
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
	ctx, span := tracer.Start(r.Context(), "request")
	trial.Send(r.WithContext(ctx))
	span.End()
	attributes := make(map[string]string)
	for _, a := range recorder.Ended()[0].Attributes() {
		attributes[string(a.Key)] = a.Value.String()
	}
	var events []string
	for _, e := range recorder.Ended()[0].Events() {
		events = append(events, strings.TrimPrefix(e.Name, "webhook "))
	}
	return attributes, events
}

func TestActiveSpanRecordsTheStepsOfADelivery(t *testing.T) {
	trial := reporting(t)
	attributes, events := spans(trial, githubRequest(reportSecret, "id-1", "body"))
	for name, want := range map[string]string{
		"webhook.provider": "github", "webhook.endpoint": "orders", "webhook.outcome": "verified",
		"webhook.id": "id-1", "webhook.event": "push", "webhook.body_bytes": "4",
	} {
		if attributes[name] != want {
			t.Errorf("%s is %q, want %q", name, attributes[name], want)
		}
	}
	if got := strings.Join(events, ", "); got != "signature verified, claimed, claim committed" {
		t.Errorf("events: %s", got)
	}
	attributes, events = spans(trial, githubRequest("wrong", "id-2", "body"))
	if attributes["webhook.outcome"] != "invalid_signature" || attributes["webhook.reason"] == "" || attributes["webhook.id"] != "" || len(events) > 0 {
		t.Errorf("forged: %v, %v", attributes, events)
	}
}

func TestRefusalsAreLoggedForAnOperator(t *testing.T) {
	verified := &signature.Delivery{ID: "id-1", IDSigned: true}
	for _, test := range []struct {
		name     string
		refusal  refusal
		verified *signature.Delivery
		level    zapcore.Level
	}{
		{"an unsigned request", refusal{outcome: MissingSignature}, nil, zapcore.InfoLevel},
		{"forged", refusal{outcome: InvalidSignature}, nil, zapcore.WarnLevel},
		{"a copy that could not wait", refusal{outcome: InProgress}, verified, zapcore.InfoLevel},
		{"an internal error", refusal{outcome: StoreUnavailable, err: errors.New("disk full")}, verified, zapcore.ErrorLevel},
		{"the sender's broken connection", refusal{outcome: Malformed, err: errors.New("unexpected EOF")}, nil, zapcore.WarnLevel},
	} {
		t.Run(test.name, func(t *testing.T) {
			core, logs := observer.New(zapcore.DebugLevel)
			d := &delivery{r: githubRequest("", "id-1", "body"), provider: &loadedProvider{info: provider.Info{Name: "github"}}, endpoint: "orders", verified: test.verified}
			newBoundedLog(zap.New(core)).log(d, &test.refusal, "refused")
			line := logs.All()[0]
			got := line.ContextMap()
			if line.Level != test.level || got["endpoint"] != "orders" || got["content_length"] != int64(4) || got["remote_addr"] == "" {
				t.Errorf("%s %v", line.Level, got)
			}
			if _, there := got["id"]; there != (test.verified != nil) {
				t.Errorf("id is %v", got["id"])
			}
		})
	}
}
