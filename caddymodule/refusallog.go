package caddymodule

import (
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// refusalLog writes one line for each refusal, and no more than a burst and a
// rate of them for each outcome, so that a flood cannot fill a disk. What was
// left out is counted in the next line.
type refusalLog struct {
	logger *zap.Logger
	now    func() time.Time

	mu      sync.Mutex
	buckets map[Outcome]*bucket
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

func newRefusalLog(logger *zap.Logger) *refusalLog {
	return &refusalLog{logger: logger, now: time.Now, buckets: make(map[Outcome]*bucket)}
}

// allow tells whether a line may be written, and how many were not since the
// last one.
func (l *refusalLog) allow(o Outcome) (bool, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b := l.buckets[o]
	if b == nil {
		b = &bucket{tokens: logBurst, filled: now}
		l.buckets[o] = b
	}
	b.tokens = min(logBurst, b.tokens+now.Sub(b.filled).Seconds()*logPerSecond)
	b.filled = now
	if b.tokens < 1 {
		b.suppressed++
		return false, 0
	}
	b.tokens--
	suppressed := b.suppressed
	b.suppressed = 0
	return true, suppressed
}

// log writes the line of one refusal. It says what an operator can act on, and
// never a secret, a signature or a body.
func (l *refusalLog) log(d *delivery, r *refusal) {
	fields := make([]zap.Field, 0, 10)
	if r.err != nil {
		fields = append(fields, zap.Error(r.err))
	}
	l.write(d, "refused a webhook delivery", fields)
}

// note writes the line of a delivery that was answered here, not by the app.
func (l *refusalLog) note(d *delivery) {
	l.write(d, "answered a webhook delivery without the app", nil)
}

func (l *refusalLog) write(d *delivery, message string, fields []zap.Field) {
	ok, suppressed := l.allow(d.outcome)
	if !ok {
		return
	}
	entry := l.logger.Check(d.outcome.level(), message)
	if entry == nil {
		return
	}
	fields = append(fields,
		zap.String("outcome", string(d.outcome)),
		zap.String("reason", d.reason),
		zap.String("provider", d.provider),
		zap.String("remote_addr", d.r.RemoteAddr),
		zap.Int64("content_length", d.length),
	)
	if d.verified != nil && d.verified.ID != "" {
		fields = append(fields, zap.String("id", d.verified.ID))
	}
	entry.Write(counted(fields, suppressed)...)
}

// level is how much the operator should care.
func (o Outcome) level() zapcore.Level {
	switch o {
	case StoreUnavailable, Overloaded, Undecided:
		return zapcore.ErrorLevel // something is broken on this side
	case Ignored:
		return zapcore.DebugLevel
	case Duplicate, InProgress, Handshake:
		return zapcore.InfoLevel
	default:
		return zapcore.WarnLevel
	}
}

// warn and fail write a message of ours, at the same bounded rate. The message
// is a fixed text: it names a bucket.
func (l *refusalLog) warn(message string, fields ...zap.Field) {
	l.say(zapcore.WarnLevel, message, fields)
}

func (l *refusalLog) fail(message string, fields ...zap.Field) {
	l.say(zapcore.ErrorLevel, message, fields)
}

func (l *refusalLog) say(level zapcore.Level, message string, fields []zap.Field) {
	if ok, suppressed := l.allow(Outcome(message)); ok {
		l.logger.Log(level, message, counted(fields, suppressed)...)
	}
}

// counted adds how many lines were left out before this one.
func counted(fields []zap.Field, suppressed int64) []zap.Field {
	if suppressed == 0 {
		return fields
	}
	return append(fields, zap.Int64("suppressed", suppressed))
}
