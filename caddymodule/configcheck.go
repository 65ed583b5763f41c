package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// checkMeant refuses options that parse but cannot be intended.
func (h *Handler) checkMeant() error {
	if err := h.checkDurations(); err != nil {
		return err
	}
	if err := checkEvents(h.Events); err != nil {
		return err
	}
	if h.info().Name == "gitlab" && slices.Contains(h.Events, "Hook") {
		return errors.New(`events: GitLab's event types have spaces: write each in quotes, for example events "Push Hook" "Tag Push Hook"`)
	}
	if slices.Contains(h.Replay.Handled, 1) {
		return errors.New("handled 1xx: not a status of final responses: write, for example, handled 2xx")
	}
	return nil
}

// checkDurations refuses durations that are too short to be intended: in JSON, a
// number is in nanoseconds.
func (h *Handler) checkDurations() error {
	for _, d := range []struct {
		name    string
		value   caddy.Duration
		least   time.Duration
		example string
	}{
		{"body_timeout", h.BodyTimeout, 10 * time.Millisecond, "30s"},
		{"app_timeout", h.AppTimeout, 10 * time.Millisecond, "5m"},
		{"window", h.Replay.Window, time.Second, "7d"},
		{"wait", h.Replay.Wait, time.Millisecond, "10s"},
	} {
		if err := option.AtLeast(d.name, d.value, d.least, d.example); err != nil {
			return err
		}
	}
	return nil
}

// checkEvents refuses patterns that match nothing, or not what they appear to match.
func checkEvents(patterns []string) error {
	seen := make(map[string]bool)
	for _, p := range patterns {
		switch {
		case strings.ContainsAny(p, ",;|"):
			return fmt.Errorf("events: %q is one event type, not several: write %s", p, listEvents(patterns))
		case strings.TrimSpace(p) == "":
			return errors.New("events: an event type is empty: remove it")
		case p != strings.TrimSpace(p):
			return fmt.Errorf("events: %q begins or ends with a space: write %s", p, listEvents(patterns))
		case strings.ContainsAny(p, `{}`):
			return fmt.Errorf("events: %q is compared literally, placeholders are not replaced: write the event types, for example events push (a Caddyfile can use {$NAME})", p)
		case strings.ContainsAny(p, "\"'`“”‘’"):
			return fmt.Errorf("events: %q contains quotes: write the event type without them, for example events push", p)
		case strings.HasPrefix(p, "!"), strings.HasPrefix(p, "-"):
			return fmt.Errorf("events: %q does not exclude an event type: list those to forward, for example events push", p)
		case strings.HasPrefix(p, "^"), strings.HasSuffix(p, "$"), strings.Contains(p, ".*") && strings.Contains(p, `\`):
			return fmt.Errorf("events: %q is not a regular expression: * matches any text, for example events invoice.*", p)
		case seen[p]:
			return fmt.Errorf("duplicate event type in events: %s; remove one", p)
		}
		seen[p] = true
	}
	return nil
}

// listEvents writes patterns correctly, for the Caddyfile and for JSON.
func listEvents(patterns []string) string {
	var caddyfile, quoted []string
	for _, p := range patterns {
		for part := range strings.FieldsFuncSeq(p, func(c rune) bool { return strings.ContainsRune(",;|", c) }) {
			part = strings.TrimSpace(part)
			if part == "" || slices.Contains(quoted, strconv.Quote(part)) {
				continue
			}
			quoted = append(quoted, strconv.Quote(part))
			if strings.ContainsFunc(part, unicode.IsSpace) {
				part = strconv.Quote(part)
			}
			caddyfile = append(caddyfile, part)
		}
	}
	return fmt.Sprintf(`events %s (in JSON: "events": [%s])`, strings.Join(caddyfile, " "), strings.Join(quoted, ", "))
}

// Below these limits, a number is probably in another unit.
const (
	smallBody   = 1 << 10
	smallBudget = 1 << 20
	longLease   = time.Hour
)

// unlikely returns warnings about options that are rarely intended.
func (h *Handler) unlikely() (texts []string) {
	say := func(format string, args ...any) { texts = append(texts, fmt.Sprintf(format, args...)) }
	if h.MaxBody < smallBody {
		say("max_body is %d bytes, so that almost every delivery is refused: write a unit, for example max_body 1MiB (in JSON a number is bytes)", h.MaxBody)
	}
	if d := time.Duration(h.BodyTimeout); d < time.Second {
		say("body_timeout is %s, so that slow deliveries are refused: write, for example, body_timeout 30s", d)
	}
	if d := time.Duration(h.AppTimeout); d < time.Second {
		say("app_timeout is %s, so that slow work in the app is canceled and counts as failed: write, for example, app_timeout 5m", d)
	}
	if d := time.Duration(h.Replay.Lease); d > longLease {
		say("lease is %s: a delivery that was in flight when Caddy crashed is blocked for that long, while the provider may stop retrying; to set how long handled deliveries are remembered, write window", d)
	}
	isFailure := func(status int) bool { return status == 4 || status == 5 || status >= 500 }
	if i := slices.IndexFunc(h.Replay.Handled, isFailure); i >= 0 {
		say("handled %s: a delivery that fails with it is remembered as handled, and its retry is not forwarded: write, for example, handled 2xx", statusText(h.Replay.Handled[i]))
	}
	if len(h.Replay.Handled) > 0 && !slices.ContainsFunc(h.Replay.Handled, func(status int) bool { return status == 2 || status >= 200 && status < 300 }) {
		say("handled %s: a delivery that the app answers with 2xx is not remembered, and its copies are forwarded again: write, for example, handled 2xx", statusText(h.Replay.Handled[0]))
	}
	if d := h.Replay.OnDuplicate; d >= 400 && d < 500 && d != http.StatusConflict {
		say("on_duplicate %d: the provider takes a retry of a handled delivery as failed, and may disable the webhook: write, for example, on_duplicate 200", d)
	}
	if h.MaxBody > cmp.Or(h.app.BodyDisk, defaultBodyDisk) {
		say("max_body is %d bytes, more than body_disk: larger deliveries always get 503: write a smaller max_body, or a larger body_disk in the global option verify_webhook", h.MaxBody)
	}
	for _, label := range h.info().ShortSecrets {
		say("secret %s has fewer than %d characters: anyone who sees one delivery can find it by trying all texts: set a longer one, such as the output of `openssl rand -hex 32`, here and at the provider", label, provider.ShortSecret)
	}
	texts = append(texts, h.unlikelyCustom()...)
	for _, p := range h.Events {
		if p == "all" || p == "any" {
			say("events %s: only the event type named %[1]s is forwarded; remove events to forward all", p)
		}
	}
	return texts
}

// unlikelyCustom returns warnings about a scheme that protects little. Those of presets
// are known.
func (h *Handler) unlikelyCustom() (texts []string) {
	coverage := h.info().Coverage
	if h.info().Name != "custom" {
		return nil
	}
	if !coverage.BodySigned {
		texts = append(texts, "the signature does not cover the body: anyone who has seen one delivery can send another body; if the provider signs it, write for example: signed {body}")
	}
	if coverage.HasTimestamp && !coverage.TimestampSigned {
		texts = append(texts, "the timestamp is not signed: anyone who sends a copy can change it; if the provider signs it, write it in signed, for example: signed {timestamp}.{body}")
	}
	return texts
}

// statusText writes a status or a class of them as in the Caddyfile.
func statusText(status int) string {
	if status < 10 {
		return strconv.Itoa(status) + "xx"
	}
	return strconv.Itoa(status)
}
