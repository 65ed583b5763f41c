package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
)

// fullWays are the ways to the app.
var fullWays = []string{"direct", "queue", "relay"}

// fullSent is one delivery. All of it follows from its number, so that a part
// can send those of earlier parts again.
type fullSent struct {
	number   int
	id       string
	site     int
	way      string
	provider *delivery.Provider
}

// fullDelivery returns the delivery of a number.
func (r *fullRun) fullDelivery(number int) fullSent {
	providers := len(r.providers[fullWays[0]])
	ways := []string{"direct", "queue", "direct", "relay"}
	way := ways[number/providers%len(ways)]
	return fullSent{
		number: number, id: fmt.Sprintf("soak-%d", number), way: way,
		site:     number / providers / len(ways) % 2,
		provider: &r.providers[way][number%providers],
	}
}

func (s *fullSent) path() string { return "/" + s.way + "/" + s.provider.Name }

// fullPublic is the URL at which the providers know both sites.
const fullPublic = "https://hooks.example.com"

// row is the result of one delivery of this part.
type row struct {
	attempts     []attempt
	handlings    []handling
	acknowledged bool
}

// fullRun is one part of the soak.
type fullRun struct {
	book      *book
	partBegan time.Time
	providers map[string][]delivery.Provider // by way
	first     int                            // the number of the first delivery of this part
	sites     [2]*fullSite
	exposed   map[int]bool // of earlier parts, see fullProgress
	client    *http.Client
	sending   chan struct{} // bounds requests at a time

	mu       sync.Mutex
	rows     []row // of this part
	statuses map[int]int
	hasty    int // 503s without Retry-After
	rejected int // 4xx
	example  string
	again    map[int]int // how often deliveries of earlier parts reached the app again
}

// fullPatience bounds how long one delivery is retried. The providers of this
// soak wait for 3 seconds at most between two attempts.
const (
	fullPatience  = 5 * time.Minute
	fullMostPause = 3 * time.Second
)

// handledBy notes that the app has handled a delivery.
func (r *fullRun) handledBy(number int, h handling) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if number < r.first {
		if r.again == nil {
			r.again = make(map[int]int)
		}
		r.again[number]++
		return
	}
	row := &r.rows[number-r.first]
	row.handlings = append(row.handlings, h)
}

// deliver sends a delivery until it is acknowledged, and sometimes a copy of an
// older one after it.
func (r *fullRun) deliver(ctx context.Context, number int) error {
	if err := r.untilAcknowledged(ctx, number); err != nil {
		return err
	}
	if number%10 != 0 {
		return nil
	}
	old := rand.New(rand.NewPCG(1, uint64(number))).IntN(number + 1) // the same in every run
	if old >= r.first && !r.acknowledged(old) {
		return nil
	}
	return r.untilAcknowledged(ctx, old)
}

func (r *fullRun) acknowledged(number int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rows[number-r.first].acknowledged
}

func (r *fullRun) untilAcknowledged(ctx context.Context, number int) error {
	ctx, cancel := context.WithTimeout(ctx, fullPatience)
	defer cancel()
	pause := 50 * time.Millisecond
	for {
		status := r.attempt(ctx, number)
		if acknowledges(status) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("delivery %d was not acknowledged within %v; the last answer was %d", number, fullPatience, status)
		case <-time.After(pause):
			pause = min(2*pause, fullMostPause)
		}
	}
}

// attempt signs and sends a delivery once.
func (r *fullRun) attempt(ctx context.Context, number int) int {
	r.sending <- struct{}{}
	defer func() { <-r.sending }()
	sent := r.fullDelivery(number)
	count := r.begin(number)
	d := sent.provider.Make(sent.id, fullPublic+sent.path(), time.Now())
	d.Header.Set(attemptHeader, strconv.Itoa(count))
	answer, err := d.Send(ctx, r.client, r.sites[sent.site].url)
	if err != nil {
		answer.Status = 0
	}
	r.end(number, count, answer)
	return answer.Status
}

// begin returns the number of an attempt, from 1. Those of earlier parts all
// have the number 0.
func (r *fullRun) begin(number int) int {
	if number < r.first {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	row := &r.rows[number-r.first]
	row.attempts = append(row.attempts, attempt{began: time.Now(), ended: time.Now().Add(time.Hour)})
	return len(row.attempts)
}

func (r *fullRun) end(number, count int, answer delivery.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statuses[answer.Status]++
	switch {
	case answer.Status == http.StatusServiceUnavailable && answer.Header.Get("Retry-After") == "":
		r.hasty++
	case answer.Status >= 400 && answer.Status < 500:
		r.rejected++
		r.example = fmt.Sprintf("delivery %d was answered %d", number, answer.Status)
	}
	if count == 0 {
		return
	}
	row := &r.rows[number-r.first]
	row.attempts[count-1].ended, row.attempts[count-1].status = time.Now(), answer.Status
	row.acknowledged = row.acknowledged || acknowledges(answer.Status)
}

// status returns how many answers had a status.
func (r *fullRun) status(status int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.statuses[status]
}
