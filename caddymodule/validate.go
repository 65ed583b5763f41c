package caddymodule

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// Validate implements caddy.Validator.
func (h *Handler) Validate() error {
	if err := h.check(); err != nil {
		return h.configError(h.inConfig, err)
	}
	h.warn()
	return nil
}

// check refuses settings that contradict each other or a guarantee.
func (h *Handler) check() error {
	r := &h.Replay
	if h.Mode != modeEnforce && h.Mode != modeMonitor {
		return option.Unrecognized("mode", h.Mode, modeEnforce, modeMonitor)
	}
	if err := option.NotNegative("max_body", h.MaxBody, 1<<20); err != nil {
		return err
	}
	if err := option.NotNegative("max_waiting", int64(r.MaxWaiting), defaultMaxWaiting); err != nil {
		return err
	}
	if err := h.checkMeant(); err != nil {
		return err
	}
	switch {
	case time.Duration(r.Lease) < time.Second:
		return fmt.Errorf("lease %s is too short to be renewed: write 1s or more, for example lease 1m; in JSON a number is nanoseconds: write \"lease\": \"1m\"", time.Duration(r.Lease))
	case time.Duration(r.Window) < h.info().Coverage.MinWindow():
		return h.shortWindow()
	case r.OnStoreError != "reject" && r.OnStoreError != "allow":
		return option.Unrecognized("on_store_error", r.OnStoreError, "reject", "allow")
	case len(h.Events) > 0 && !h.info().Coverage.HasEvent:
		return errors.New("events: the position of the event type is not configured: leave events out or, with custom, write for example: event json type")
	}
	if err := h.checkContent(); err != nil {
		return err
	}
	if err := checkStatus("on_duplicate", r.OnDuplicate); err != nil {
		return err
	}
	if err := checkStatus("on_replay", r.OnReplay); err != nil {
		return err
	}
	for _, status := range r.Handled {
		if (status < 1 || status > 5) && (status < 200 || status > 599) {
			return fmt.Errorf("handled %d is not a status code: write, for example, handled 2xx 410", status)
		}
	}
	return nil
}

// checkContent refuses a content setting that has no effect.
func (h *Handler) checkContent() error {
	r := &h.Replay
	switch {
	case r.Off && (r.Content != "" || h.ownStore):
		return errors.New("replay is off, so nothing is remembered: remove content and store, or off")
	case r.Content != "" && r.Content != provider.ContentUnique && r.Content != provider.ContentRepeats:
		return option.Unrecognized("content", string(r.Content), string(provider.ContentUnique), string(provider.ContentRepeats))
	case r.Content != "" && h.info().Coverage.IDSigned:
		return fmt.Errorf("content %s has no effect: %s signs its delivery ID, which identifies the delivery; remove it", r.Content, h.info().Name)
	}
	return nil
}

// shortWindow explains why the window is too short: a copy would still be
// accepted after the delivery has been forgotten.
func (h *Handler) shortWindow() error {
	window, t := time.Duration(h.Replay.Window), h.info().Coverage
	if t.MinWindow() > 2*t.Tolerance {
		return fmt.Errorf("window %s is shorter than the %s for which a copy of a delivery is accepted: write window %s or more", window, t.MinWindow(), t.MinWindow())
	}
	return fmt.Errorf("window %s is shorter than twice the tolerance of %s, so a replay could outlive it: write window %s or more, or a smaller tolerance",
		window, t.Tolerance, 2*t.Tolerance)
}

func checkStatus(option string, status int) error {
	if status >= 500 && status <= 599 {
		return fmt.Errorf("%s %d: %w", option, status, errDuplicateStatus)
	}
	if status < 200 || status > 599 {
		return fmt.Errorf("%s %d is not a final status: write, for example, %s 200", option, status, option)
	}
	return nil
}

// warn logs, once at start, what the operator should know.
func (h *Handler) warn() {
	if h.Mode == modeMonitor {
		h.logger.Warn("mode monitor: nothing is refused, forged deliveries reach the app", zap.String("provider", h.info().Name), zap.String("endpoint", h.endpointName()))
	}
	if h.info().Weakness != "" {
		h.logger.Warn("the provider's signature leaves a gap: "+h.info().Weakness, zap.String("provider", h.info().Name))
	}
	h.warnHandshakes()
	switch {
	case h.Replay.Off:
		h.logger.Warn("replay off: copies and replays of genuine deliveries reach the app", zap.String("provider", h.info().Name), zap.String("endpoint", h.endpointName()))
	case h.indistinguishable():
		h.logger.Warn("copies of a delivery cannot be recognized: the provider sends no delivery ID, and its content repeats; every delivery is forwarded, copies and replays included",
			zap.String("provider", h.info().Name), zap.String("endpoint", h.endpointName()))
	}
	if h.Replay.OnStoreError == "allow" {
		h.logger.Warn("on_store_error allow: while the replay store does not answer, duplicates and replays reach the app", zap.String("provider", h.info().Name))
	}
}
