package caddymodule

import (
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// boundedLog logs refusals and internal errors. It limits the burst and the rate of
// each kind of line, so that a flood cannot fill a disk. The next line contains
// the number of suppressed ones.
type boundedLog struct {
	logger *zap.Logger
	now    func() time.Time

	mu sync.Mutex
	// buckets are by kind of line: an outcome or a fixed message, never
	// anything that a sender chooses.
	buckets map[string]*bucket
}

type bucket struct {
	tokens     float64
	filled     time.Time
	suppressed int64
}

const (
	logBurst     = 20
	logPerSecond = 2
)

func newBoundedLog(logger *zap.Logger) *boundedLog {
	return &boundedLog{logger: logger, now: time.Now, buckets: make(map[string]*bucket)}
}

// allow reports whether a line of this kind may be written, and how many were
// suppressed since the last one.
func (l *boundedLog) allow(kind string) (ok bool, suppressed int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b := l.buckets[kind]
	if b == nil {
		b = &bucket{tokens: logBurst, filled: now}
		l.buckets[kind] = b
	}
	b.tokens = min(logBurst, b.tokens+now.Sub(b.filled).Seconds()*logPerSecond)
	b.filled = now
	if b.tokens < 1 {
		b.suppressed++
		return false, 0
	}
	b.tokens--
	suppressed, b.suppressed = b.suppressed, 0
	return true, suppressed
}

// level is the log level of a refusal. Requests without a signature are frequent
// on the internet; undecided ones need the operator's attention.
func (r *refusal) level() zapcore.Level {
	switch {
	case r.outcome == Unhandled:
		return zapcore.ErrorLevel
	case r.err != nil && r.outcome != Malformed: // an incomplete body is the sender's error
		return zapcore.ErrorLevel
	case r.outcome == Ignored:
		return zapcore.DebugLevel
	}
	switch r.outcome {
	case InProgress, Duplicate, Handshake, MissingSignature, BodyTimeout:
		return zapcore.InfoLevel
	}
	return zapcore.WarnLevel
}

// log writes the line of one refusal, without secrets, signatures and bodies. It
// returns false if the line was suppressed.
func (l *boundedLog) log(d *delivery, r *refusal, message string) bool {
	ok, suppressed := l.allow(string(r.outcome))
	if !ok {
		return false
	}
	entry := l.logger.Check(r.level(), message)
	if entry == nil {
		return true
	}
	fields := []zap.Field{
		zap.String("outcome", string(r.outcome)),
		zap.String("reason", r.reason),
		zap.String("provider", d.provider.info.Name),
		zap.String("endpoint", d.endpoint),
		zap.String("method", signature.Excerpt(d.signed.Method, maxName)),
		zap.String("host", signature.Excerpt(d.r.Host, maxLogged)),
		zap.String("path", signature.Excerpt(pathOnly(d.signed.RequestURI), maxLogged)),
		zap.String("remote_addr", d.r.RemoteAddr),
		zap.Int64("content_length", d.r.ContentLength),
	}
	if d.body != nil {
		fields = append(fields, zap.Int64("body_bytes", d.body.Size()))
	}
	// Only verified values: anyone can send a header.
	if v := d.verified; v != nil && v.ID != "" {
		fields = append(fields, zap.String("id", signature.Excerpt(v.ID, maxLogged)), zap.Bool("id_signed", v.IDSigned))
	}
	if r.err != nil {
		// Errors of parsers and transports may quote the request.
		fields = append(fields, zap.String("error", signature.Excerpt(r.err.Error(), maxReason)))
	}
	entry.Write(counted(fields, suppressed)...)
	return true
}

// answered writes the line of a genuine delivery that the gate answered instead of
// the app.
func (l *boundedLog) answered(d *delivery) {
	r := &refusal{outcome: d.outcome, reason: d.reason}
	l.log(d, r, "answered a webhook delivery without the app")
}

// warn and fail log a message about this process, at the same limited rate. The
// message must be a constant, because it is the kind of the line.
func (l *boundedLog) warn(message string, fields ...zap.Field) {
	l.write(zapcore.WarnLevel, message, fields)
}

func (l *boundedLog) fail(message string, fields ...zap.Field) {
	l.write(zapcore.ErrorLevel, message, fields)
}

func (l *boundedLog) write(level zapcore.Level, message string, fields []zap.Field) {
	if ok, suppressed := l.allow(message); ok {
		l.logger.Log(level, message, counted(fields, suppressed)...)
	}
}

// counted adds the number of suppressed lines before this one.
func counted(fields []zap.Field, suppressed int64) []zap.Field {
	if suppressed == 0 {
		return fields
	}
	return append(fields, zap.Int64("suppressed", suppressed))
}
