package load

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// exchangeTimeout is how long one delivery may take before it counts as failed.
const exchangeTimeout = 10 * time.Second

// writeAhead is up to which size a request is written before its answer is read.
// Longer ones are written meanwhile: a server that refuses them by their headers
// does not read the rest, and would be waited for in vain.
const writeAhead = 16 << 10

// Plan says what to send.
type Plan struct {
	Address     string // host and port
	Batch       *Batch
	Times       int           // how often each delivery is sent; 0 is once
	Connections int           // as many are on the way at any moment
	Most        time.Duration // no delivery is begun after this
}

// Result is the result of a Plan.
type Result struct {
	Done     int           // deliveries that were answered
	Failed   int           // deliveries that were not
	Statuses map[int]int   // how many were answered with each status
	Elapsed  time.Duration // from the first to the end of the last
	P50, P99 time.Duration // of the answered ones
}

// PerSecond returns how many deliveries were answered in a second.
func (r Result) PerSecond() float64 { return float64(r.Done) / max(r.Elapsed.Seconds(), 1e-9) }

// Run sends all deliveries, each connection the next one as soon as its last one
// has been answered.
func Run(ctx context.Context, p Plan) Result {
	var next atomic.Int64
	total := int64(p.Batch.Len() * max(p.Times, 1))
	workers := make([]*worker, p.Connections)
	for i := range workers {
		workers[i] = &worker{address: p.Address, batch: p.Batch, statuses: make(map[int]int)}
		_ = workers[i].dial(ctx) // tried again, and counted, with the first delivery
	}

	started := time.Now()
	end := started.Add(p.Most)
	var group sync.WaitGroup
	for _, w := range workers {
		group.Go(func() {
			defer w.hangUp()
			for ctx.Err() == nil && time.Now().Before(end) {
				i := next.Add(1) - 1
				if i >= total {
					return
				}
				w.send(ctx, int(i%int64(p.Batch.Len())))
			}
		})
	}
	group.Wait()
	return summary(workers, time.Since(started))
}

func summary(workers []*worker, elapsed time.Duration) Result {
	r := Result{Statuses: make(map[int]int), Elapsed: elapsed}
	var all []time.Duration
	for _, w := range workers {
		all = append(all, w.latencies...)
		r.Failed += w.failed
		for status, n := range w.statuses {
			r.Statuses[status] += n
		}
	}
	slices.Sort(all)
	r.Done = len(all)
	if len(all) > 0 {
		r.P50, r.P99 = all[len(all)/2], all[len(all)*99/100]
	}
	return r
}

// worker is one connection, reopened whenever the server has closed it.
type worker struct {
	address string
	batch   *Batch
	conn    net.Conn
	reader  *bufio.Reader

	latencies []time.Duration
	statuses  map[int]int
	failed    int
}

func (w *worker) dial(ctx context.Context) (err error) {
	dialer := net.Dialer{Timeout: exchangeTimeout}
	if w.conn, err = dialer.DialContext(ctx, "tcp", w.address); err != nil {
		w.conn = nil
		return err
	}
	if w.reader == nil {
		w.reader = bufio.NewReader(nil)
	}
	w.reader.Reset(w.conn)
	return nil
}

func (w *worker) hangUp() {
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

// send sends one delivery and counts its answer. Opening a connection is part of
// its latency: a server that closes them makes its senders wait for that.
func (w *worker) send(ctx context.Context, i int) {
	started := time.Now()
	if w.conn == nil && w.dial(ctx) != nil {
		w.failed++
		return
	}
	status, keep := w.exchange(i)
	if !keep {
		w.hangUp()
	}
	if status == 0 {
		w.failed++
		return
	}
	w.statuses[status]++
	w.latencies = append(w.latencies, time.Since(started))
}

// exchange returns the status of the answer, 0 if there is none, and whether the
// connection can be used again.
func (w *worker) exchange(i int) (status int, keep bool) {
	_ = w.conn.SetDeadline(time.Now().Add(exchangeTimeout))
	request := net.Buffers{w.batch.first[i], w.batch.tail}
	if len(w.batch.tail) <= writeAhead {
		_, err := request.WriteTo(w.conn)
		status, keep = w.answer() // there may be one although writing failed
		return status, keep && err == nil
	}

	written := make(chan error, 1)
	go func(conn net.Conn) {
		_, err := request.WriteTo(conn)
		written <- err
	}(w.conn)
	if status, keep = w.answer(); !keep {
		w.hangUp() // ends the writing
	}
	return status, <-written == nil && keep
}

func (w *worker) answer() (status int, keep bool) {
	response, err := http.ReadResponse(w.reader, nil)
	if err != nil {
		return 0, false
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode, err == nil && !response.Close
}
