package caddymodule

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// begun returns a context that ends after a minute.
func begun(values context.Context) *lazyDeadline {
	b := new(lazyDeadline)
	b.begin(values, time.Minute)
	return b
}

func TestLazyDeadlineEndsLikeContextsOfTheStandardLibrary(t *testing.T) {
	for _, test := range []struct {
		name      string
		cancelled bool
		after     time.Duration
		want      error
	}{
		{"before the deadline", false, time.Minute - 1, nil},
		{"at the deadline", false, time.Minute, context.DeadlineExceeded},
		{"cancelled before the deadline", true, time.Minute - 1, context.Canceled},
		{"cancelled, after the deadline", true, time.Hour, context.Canceled},
	} {
		for name, watch := range map[string]func(context.Context){
			"unwatched":     func(context.Context) {},
			"watched":       func(ctx context.Context) { ctx.Done() },
			"with children": func(ctx context.Context) { context.AfterFunc(ctx, func() {}) },
		} {
			t.Run(test.name+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx := begun(context.Background())
					watch(ctx)
					if test.cancelled {
						ctx.cancel()
					}
					time.Sleep(test.after)
					synctest.Wait()
					child, cancel := context.WithCancel(ctx)
					defer cancel()
					select {
					case <-ctx.Done():
						if test.want == nil {
							t.Error("it is done")
						}
					default:
						if test.want != nil {
							t.Error("it is not done")
						}
					}
					if !errors.Is(ctx.Err(), test.want) || !errors.Is(child.Err(), test.want) || !errors.Is(context.Cause(ctx), test.want) {
						t.Errorf("got %v, child %v, cause %v; want %v", ctx.Err(), child.Err(), context.Cause(ctx), test.want)
					}
					ctx.cancel()
					if test.want != nil && !errors.Is(ctx.Err(), test.want) {
						t.Errorf("at last %v, before that %v", ctx.Err(), test.want)
					}
					if deadline, ok := ctx.Deadline(); !ok || deadline.After(time.Now().Add(time.Minute)) {
						t.Errorf("deadline %s, %t", deadline, ok)
					}
				})
			})
		}
	}
}

// A goroutine that outlives the test would be reported as a deadlock.
func TestLazyDeadlineCancelsChildrenWithoutAGoroutineEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := begun(context.Background())
		for range 3 {
			child, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			defer func() {
				if !errors.Is(child.Err(), context.Canceled) {
					t.Errorf("a child: %v", child.Err())
				}
			}()
		}
		ended := make(chan error, 1)
		context.AfterFunc(ctx, func() { ended <- ctx.Err() })
		ctx.cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestLazyDeadlineHasTheValuesOfARequestButNotItsCancellation(t *testing.T) {
	type key struct{}
	request, hangUp := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	ctx := begun(context.WithoutCancel(request))
	defer ctx.cancel()
	hangUp()
	for range 2 { // unwatched, then watched
		if ctx.Value(key{}) != "value" || ctx.Err() != nil || context.Cause(ctx) != nil {
			t.Errorf("value %v, %v, cause %v", ctx.Value(key{}), ctx.Err(), context.Cause(ctx))
		}
		ctx.Done()
	}
}

func TestLazyDeadlineIsSafeForConcurrentUse(t *testing.T) {
	for range 50 {
		ctx := begun(context.Background())
		done := make(chan struct{})
		for range 4 {
			go func() {
				child, cancel := context.WithCancel(ctx)
				_, _ = ctx.Err(), ctx.Value(done)
				<-child.Done()
				cancel()
				done <- struct{}{}
			}()
		}
		ctx.cancel()
		for range 4 {
			<-done
		}
	}
}
