package faults

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
)

var (
	fullState = flag.String("full-state", "", "run the soak in its full form, and keep its totals in this file")
	fullParts = flag.Int("full-parts", 0, "run so many parts of the full soak and stop; 0: all that are left")
)

// fullPlan says what is done in all, evenly spread.
type fullPlan struct {
	Deliveries, Part        int
	Kills, Reloads, Outages int
}

var (
	shortPlan = fullPlan{Deliveries: 1500, Part: 1500, Kills: 2, Reloads: 2, Outages: 1}
	longPlan  = fullPlan{Deliveries: 1_000_000, Part: 50_000, Kills: 100, Reloads: 200, Outages: 20}
)

// fullFigures are what one part, or all of them, have counted.
type fullFigures struct {
	Accepted, Handled, Lost                             int
	TwiceOutsideTheGap, TwiceInTheGap, TwiceAfterABreak int
	Kills, Reloads, Outages                             int
	Attempts, Status503, Unanswered, AppFailures        int
	Hostile                                             int
	PeakMiB                                             int
	UseAtStart, UseAtEnd                                [2]fullUse // of the sites with files and with Redis
	Seconds                                             float64
}

// add sums up all but the peak and the use.
func (f *fullFigures) add(o fullFigures) {
	f.Accepted += o.Accepted
	f.Handled += o.Handled
	f.Lost += o.Lost
	f.TwiceOutsideTheGap += o.TwiceOutsideTheGap
	f.TwiceInTheGap += o.TwiceInTheGap
	f.TwiceAfterABreak += o.TwiceAfterABreak
	f.Kills += o.Kills
	f.Reloads += o.Reloads
	f.Outages += o.Outages
	f.Attempts += o.Attempts
	f.Status503 += o.Status503
	f.Unanswered += o.Unanswered
	f.AppFailures += o.AppFailures
	f.Hostile += o.Hostile
	f.PeakMiB = max(f.PeakMiB, o.PeakMiB)
	if f.Seconds == 0 {
		f.UseAtStart = o.UseAtStart
	}
	f.UseAtEnd = o.UseAtEnd
	f.Seconds += o.Seconds
}

func (f fullFigures) String() string {
	return fmt.Sprintf("%d accepted, %d handled, %d lost, %d twice outside the gap, %d twice in the gap, %d twice after a break of the soak itself; "+
		"%d kill -9, %d reloads, %d outages of Redis; %d attempts (%d answered 503, %d not answered, %d failures of the app passed on), %d hostile requests; "+
		"%d MiB at most; goroutines and files %v at the start, %v at the end; %.0f s, %.0f deliveries/s",
		f.Accepted, f.Handled, f.Lost, f.TwiceOutsideTheGap, f.TwiceInTheGap, f.TwiceAfterABreak,
		f.Kills, f.Reloads, f.Outages, f.Attempts, f.Status503, f.Unanswered, f.AppFailures, f.Hostile,
		f.PeakMiB, f.UseAtStart, f.UseAtEnd, f.Seconds, float64(f.Accepted)/f.Seconds)
}

// fullProgress is the state file.
type fullProgress struct {
	Plan    fullPlan
	Next    int         // the number of the first delivery of the next part
	Running bool        // a part has begun and not ended
	Totals  fullFigures // of the parts that have ended
	Parts   []fullFigures
	// Exposed are the deliveries of which the gap has left no record: Redis was
	// away when the app had handled them, and for longer than their lease. A later
	// copy of one of them reaches the app again.
	Exposed []int
}

// TestEverythingAtOnce sends deliveries of twelve providers on three ways to the
// app, through a Caddy with files and one with Redis, while each of them is
// killed, its config is reloaded, Redis goes, the app fails, and others send
// what is not genuine. Its full form is make soak-full: it goes on where it was
// stopped.
func TestEverythingAtOnce(t *testing.T) {
	if *fullState == "" {
		p := &fullProgress{Plan: shortPlan}
		t.Log(p.run(t, t.TempDir(), false))
		return
	}
	folder := *fullState + ".d"
	progress := readProgress(t)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for done := 0; progress.Next < progress.Plan.Deliveries && (*fullParts == 0 || done < *fullParts); done++ {
		resumed := progress.Running
		progress.Running = true
		progress.write(t)
		f := fullFigures{}
		ok := t.Run(fmt.Sprintf("from %d", progress.Next), func(t *testing.T) {
			f = progress.run(t, folder, resumed)
		})
		t.Log(f)
		if !ok {
			t.Fatalf("this part has failed; it is run again unless %s is removed", *fullState)
		}
		progress.Next += progress.Plan.Part
		progress.Running = false
		progress.Totals.add(f)
		progress.Parts = append(progress.Parts, f)
		progress.write(t)
	}
	t.Logf("%d of %d deliveries: %v", progress.Next, progress.Plan.Deliveries, progress.Totals)
}

func readProgress(t *testing.T) *fullProgress {
	t.Helper()
	p := &fullProgress{Plan: longPlan}
	raw, err := os.ReadFile(*fullState)
	if errors.Is(err, fs.ErrNotExist) {
		return p
	}
	if err == nil {
		err = json.Unmarshal(raw, p) //nolint:musttag // only this test reads the file
	}
	if err != nil {
		t.Fatalf("reading the state of the soak: %v; remove it to begin again", err)
	}
	return p
}

func (p *fullProgress) write(t *testing.T) {
	t.Helper()
	raw, err := json.MarshalIndent(p, "", "\t") //nolint:musttag // only this test reads the file
	if err == nil {
		err = os.WriteFile(*fullState+".new", append(raw, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(*fullState+".new", *fullState)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// run runs one part on what the earlier ones have left in the folder, and fails
// the test unless what always holds has held.
func (p *fullProgress) run(t *testing.T, folder string, resumed bool) (f fullFigures) {
	t.Helper()
	began := time.Now()
	plan, first := p.Plan, p.Next
	r := &fullRun{
		partBegan: began, first: first, exposed: make(map[int]bool), rows: make([]row, plan.Part), statuses: make(map[int]int), sending: make(chan struct{}, 96),
		providers: make(map[string][]delivery.Provider),
		client:    &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 96}, Timeout: patience},
	}
	for _, way := range fullWays {
		r.providers[way] = delivery.Providers(way)
	}
	for _, number := range p.Exposed {
		r.exposed[number] = true
	}
	var err error
	if r.book, err = openBook(filepath.Join(folder, "handled"), first+plan.Part); err != nil {
		t.Fatal(err)
	}
	defer r.book.file.Close()
	before := r.handledBefore()
	redis := &redisServer{t: t, address: process.Address(t), folder: filepath.Join(folder, "server")}
	if err := os.MkdirAll(redis.folder, 0o700); err != nil {
		t.Fatal(err)
	}
	redis.start()
	app := startFullApp(t, r)
	r.sites[0] = startFullSite(t, filepath.Join(folder, "file"), app, r.providers, nil)
	r.sites[1] = startFullSite(t, filepath.Join(folder, "redis"), app, r.providers, redis)
	for i, s := range r.sites {
		f.UseAtStart[i] = s.use()
	}

	attackers := &hostile{run: r, client: &http.Client{Transport: &http.Transport{}, Timeout: patience}}
	attacking, stop := context.WithCancel(t.Context())
	attacked := attackers.start(attacking)
	t.Logf("ready after %v", time.Since(began))
	faults := r.underFaults(t, plan)
	t.Logf("all acknowledged after %v", time.Since(began))
	stop()
	attacked()
	r.settle(t)
	t.Logf("all delivered after %v", time.Since(began))
	for _, f := range faults {
		t.Logf("site %d, redis %v: away from %v to %v", f.site, f.store, f.began.Sub(began), f.end.Sub(began))
	}

	r.client.CloseIdleConnections()
	attackers.client.CloseIdleConnections()
	for i, s := range r.sites {
		f.UseAtEnd[i] = s.awaitUse(f.UseAtStart[i])
		s.noteMemory()
		f.PeakMiB = max(f.PeakMiB, s.peak>>10)
		f.Kills += s.killed
		f.Reloads += s.reloaded
	}
	f.Outages = len(faults) - f.Kills
	f.Hostile = int(attackers.sent.Load())
	r.count(t, &f, faults, before)
	p.Exposed = append(p.Exposed, r.exposedNow(faults)...)
	f.Seconds = time.Since(began).Seconds()
	r.judge(t, f, app, attackers, resumed)
	return f
}

// handledBefore returns which deliveries of this part were handled before it
// began: it was stopped half-way.
func (r *fullRun) handledBefore() map[int]bool {
	before := make(map[int]bool)
	for i := range r.rows {
		if r.book.handled(r.first + i) {
			before[r.first+i] = true
		}
	}
	return before
}

// fullEvent is a fault that happens once so many deliveries have begun.
type fullEvent struct {
	after int
	do    func()
}

// fullAhead is how many deliveries may begin during a fault. No more than those before
// the next one: it needs deliveries, too.
const fullAhead = 2000

// underFaults sends all deliveries of this part while the faults happen. It
// returns when all deliveries are acknowledged.
func (r *fullRun) underFaults(t *testing.T, plan fullPlan) (faults []fault) {
	t.Helper()
	parts := plan.Deliveries / plan.Part
	var events []fullEvent
	spread := func(n int, do func(int)) {
		n /= parts
		for i := range n {
			events = append(events, fullEvent{plan.Part * (2*i + 1) / (2 * n), func() { do(i) }})
		}
	}
	spread(plan.Kills, func(i int) { faults = append(faults, r.sites[i%2].kill(i%2)) })
	spread(plan.Reloads, func(i int) { r.sites[i/2%2].reloadFull() })
	spread(plan.Outages, func(int) { faults = append(faults, r.sites[1].outage(r, 1)) })
	slices.SortStableFunc(events, func(a, b fullEvent) int { return a.after - b.after })

	next := make(chan int)
	var senders sync.WaitGroup
	failed := make(chan error, plan.Part)
	for range 1024 {
		senders.Go(func() {
			for number := range next {
				if err := r.deliver(t.Context(), number); err != nil {
					failed <- err
				}
			}
		})
	}
	begun := 0
	begin := func(until int) {
		for ; begun < min(until, plan.Part); begun++ {
			next <- r.first + begun
		}
	}
	for i, event := range events {
		begin(event.after)
		most := plan.Part
		if next := slices.IndexFunc(events[i:], func(e fullEvent) bool { return e.after > event.after }); next > 0 {
			most = events[i+next].after
		}
		done := make(chan struct{})
		var ahead sync.WaitGroup
		ahead.Go(func() { // the load goes on meanwhile
			for until := min(event.after+fullAhead, most); begun < until; begun++ {
				select {
				case next <- r.first + begun:
				case <-done:
					return
				}
			}
		})
		event.do()
		close(done)
		ahead.Wait()
	}
	begin(plan.Part)
	close(next)
	senders.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	return faults
}

// settle waits until the queues are empty.
func (r *fullRun) settle(t *testing.T) {
	t.Helper()
	for _, s := range r.sites {
		for left, deadline := s.queued(), time.Now().Add(patience); left > 0; {
			time.Sleep(200 * time.Millisecond)
			now := s.queued()
			if now < left {
				deadline = time.Now().Add(patience)
			}
			if left = now; time.Now().After(deadline) {
				t.Errorf("%d deliveries are still in the queues", left)
				break
			}
		}
	}
}

// fullSlack is how many goroutines and files more than at the start are none
// that were left behind.
const fullSlack = 40

// awaitUse waits until Caddy uses no more than at the start, and returns what
// it uses then.
func (s *fullSite) awaitUse(start fullUse) (now fullUse) {
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		now = s.use()
		if now.Goroutines <= start.Goroutines+fullSlack && now.Files <= start.Files+fullSlack || time.Now().After(deadline) {
			return now
		}
	}
}

// count compares what the provider knows with what the app has handled.
func (r *fullRun) count(t *testing.T, f *fullFigures, faults []fault, before map[int]bool) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	f.Status503, f.Unanswered = r.statuses[http.StatusServiceUnavailable], r.statuses[0]
	f.AppFailures = r.statuses[http.StatusInternalServerError] + r.statuses[http.StatusBadGateway]
	for number, times := range r.again {
		if r.exposed[number] {
			f.TwiceInTheGap += times
			continue
		}
		f.TwiceOutsideTheGap += times
		t.Errorf("delivery %d of an earlier part, on the way %q to site %d, reached the app again", number, r.fullDelivery(number).way, r.fullDelivery(number).site)
	}
	for _, n := range r.statuses {
		f.Attempts += n
	}
	for i := range r.rows {
		row, number := &r.rows[i], r.first+i
		handled := len(row.handlings) > 0 || before[number]
		if row.acknowledged {
			f.Accepted++
		}
		if handled {
			f.Handled++
		}
		if !handled || !row.acknowledged {
			f.Lost++
			t.Errorf("delivery %d on the way %q: handled %v, acknowledged %v", number, r.fullDelivery(number).way, handled, row.acknowledged)
		}
		switch {
		case before[number] && len(row.handlings) > 0:
			f.TwiceAfterABreak++
		case len(row.handlings) < 2:
		case r.allInGap(number, row, faults):
			f.TwiceInTheGap++
		default:
			f.TwiceOutsideTheGap++
			t.Errorf("delivery %d on the way %q to site %d was handled twice outside the gap:%s", number, r.fullDelivery(number).way, r.fullDelivery(number).site, row.story(r.partBegan))
		}
	}
}

// exposedNow returns the deliveries of this part whose last handling was in the
// gap that an outage of Redis makes.
func (r *fullRun) exposedNow(faults []fault) (numbers []int) {
	outages := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return !f.store })
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.rows {
		sent, handlings := r.fullDelivery(r.first+i), r.rows[i].handlings
		if sent.site == 1 && sent.way != "queue" && len(handlings) > 0 && inGap(false, handlings[len(handlings)-1], r.rows[i].attempts, outages) {
			numbers = append(numbers, r.first+i)
		}
	}
	return numbers
}

// story lists what happened to a delivery, with times since the part began.
func (r *row) story(began time.Time) (text string) {
	for i, a := range r.attempts {
		text += fmt.Sprintf(" attempt %d from %v to %v answered %d;", i+1, a.began.Sub(began).Round(time.Millisecond), a.ended.Sub(began).Round(time.Millisecond), a.status)
	}
	for _, h := range r.handlings {
		text += fmt.Sprintf(" attempt %d handled at %v;", h.attempt, h.at.Sub(began).Round(time.Millisecond))
	}
	return text
}

// allInGap reports whether every handling of a delivery but the last one was
// in the gap.
func (r *fullRun) allInGap(number int, row *row, faults []fault) bool {
	sent := r.fullDelivery(number)
	faults = slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return f.site != sent.site })
	for _, h := range row.handlings[:len(row.handlings)-1] {
		if !inGap(sent.way == "queue", h, row.attempts, faults) {
			return false
		}
	}
	return true
}

// judge fails the test unless what always holds has held.
func (r *fullRun) judge(t *testing.T, f fullFigures, app *fullApp, attackers *hostile, resumed bool) {
	t.Helper()
	_, _, shared := r.book.count(len(r.book.entries))
	for _, never := range []struct {
		n    int
		what string
	}{
		{f.Lost, "deliveries were lost"},
		{f.TwiceOutsideTheGap, "deliveries were handled twice outside the gap"},
		{int(app.wrong.Load()), "requests reached the app that should not have, or not so"},
		{int(attackers.accepted.Load()), "hostile requests were answered with success"},
		{shared, "keys are of more than one delivery"},
		{r.hasty, "answers 503 had no Retry-After"},
		{r.rejected, "genuine deliveries were answered 4xx"},
	} {
		if never.n > 0 {
			t.Errorf("%d %s", never.n, never.what)
		}
	}
	for _, example := range []*string{app.first.Load(), attackers.example.Load(), &r.example} {
		if example != nil && *example != "" {
			t.Errorf("for example %s", *example)
		}
	}
	if f.TwiceAfterABreak > 0 && !resumed {
		t.Error("deliveries were handled before this part began")
	}
	for i := range r.sites {
		if f.UseAtEnd[i].Goroutines > f.UseAtStart[i].Goroutines+fullSlack || f.UseAtEnd[i].Files > f.UseAtStart[i].Files+fullSlack {
			t.Errorf("site %d uses %+v, and used %+v at the start", i, f.UseAtEnd[i], f.UseAtStart[i])
		}
	}
	if err := r.book.file.Sync(); err != nil {
		t.Error(err)
	}
}
