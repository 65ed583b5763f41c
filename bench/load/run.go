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

// exchangeTimeout is the time after which a delivery counts as failed.
const exchangeTimeout = 10 * time.Second

// writeAhead is the maximum size of a request that is written before its response
// is read. Larger requests are written concurrently, because a server that refuses
// them by their headers does not read the rest and the write would block.
const writeAhead = 16 << 10

// Plan describes the deliveries to send.
type Plan struct {
	Address     string // host and port
	Batch       *Batch
	Times       int           // how often each delivery is sent; 0 means once
	Connections int           // number of deliveries in flight
	Most        time.Duration // no delivery starts after this
}

// Result is the result of a Plan.
type Result struct {
	Done     int           // deliveries with a response
	Failed   int           // deliveries without a response
	Statuses map[int]int   // number of responses by status
	Elapsed  time.Duration // from the start of the first to the end of the last
	P50, P99 time.Duration // latency of deliveries with a response
}

// PerSecond returns the number of responses per second.
func (r Result) PerSecond() float64 { return float64(r.Done) / max(r.Elapsed.Seconds(), 1e-9) }

// Run sends all deliveries. Each connection sends the next one as soon as it has
// received the previous response.
func Run(ctx context.Context, p Plan) Result {
	var next atomic.Int64
	total := int64(p.Batch.Len() * max(p.Times, 1))
	workers := make([]*worker, p.Connections)
	for i := range workers {
		workers[i] = &worker{address: p.Address, batch: p.Batch, statuses: make(map[int]int)}
		_ = workers[i].dial(ctx) // the first delivery retries it and counts the failure
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

// worker is one connection, reopened whenever the server closes it.
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

// send sends one delivery and counts its response. The latency includes opening a
// connection, because a server that closes connections delays its senders.
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

// exchange returns the status of the response, 0 if there is none, and whether the
// connection can be reused.
func (w *worker) exchange(i int) (status int, keep bool) {
	_ = w.conn.SetDeadline(time.Now().Add(exchangeTimeout))
	request := net.Buffers{w.batch.first[i], w.batch.tail}
	if len(w.batch.tail) <= writeAhead {
		_, err := request.WriteTo(w.conn)
		status, keep = w.answer() // there can be a response although writing failed
		return status, keep && err == nil
	}

	written := make(chan error, 1)
	go func(conn net.Conn) {
		_, err := request.WriteTo(conn)
		written <- err
	}(w.conn)
	if status, keep = w.answer(); !keep {
		w.hangUp() // stops the write
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
