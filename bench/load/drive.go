package main

import (
	"fmt"
	"sync"
	"syscall"
	"time"
)

const (
	// patience is how long after the end of a run what was due in it is still sent; what is left by then counts with the
	// latency that it has had until then: the server could not keep up, which is a figure as well.
	patience = 5 * time.Second
	// hopeless is how many errors end a run at once.
	hopeless = 100
)

// Clock hands out requests: each is due at a time of its own, or at once where there is no rate.
type Clock struct {
	turn   sync.Mutex
	begin  time.Time
	end    time.Time
	next   int64
	sent   int64
	rate   float64
	failed int
}

// take waits until the next request is due and returns its number and when that was; false: there is none any more.
//
// One lane waits at a time, the others behind it: so they leave in order, and one thread of the machine is enough.
func (clock *Clock) take() (int64, time.Time, bool) {
	clock.turn.Lock()
	defer clock.turn.Unlock()
	due := time.Now()
	if clock.rate > 0 {
		due = clock.begin.Add(time.Duration(float64(clock.sent) / clock.rate * float64(time.Second)))
	}
	if !due.Before(clock.end) || clock.failed >= hopeless {
		return 0, due, false
	}
	number := clock.next
	clock.next++
	clock.sent++
	until(due)
	return number, due, true
}

func (clock *Clock) fail() {
	clock.turn.Lock()
	clock.failed++
	clock.turn.Unlock()
}

// until sleeps in the kernel: Go's own timers are late by up to a millisecond where nothing else runs.
func until(due time.Time) {
	for left := time.Until(due); left > 0; left = time.Until(due) {
		wait := syscall.NsecToTimespec(int64(left))
		_ = syscall.Nanosleep(&wait, nil)
	}
}

// Seen is what one lane saw: of each request how long it took, and how late it left.
type Seen struct {
	took, late []time.Duration
	faults     []string
	errors     int
	unsent     int
	begin, end time.Time
}

// drive sends what is due within `length` on all lanes.
func drive(plan *Plan, lanes []*Lane, first int64, length time.Duration) []*Seen {
	begin := time.Now()
	if plan.rate > 0 {
		begin = begin.Add(5 * time.Millisecond)
	}
	clock := &Clock{begin: begin, end: begin.Add(length), next: first, rate: plan.rate}
	seen := make([]*Seen, len(lanes))
	var all sync.WaitGroup
	for i, lane := range lanes {
		seen[i] = &Seen{begin: begin}
		all.Go(func() { lane.follow(plan, clock, seen[i]) })
	}
	all.Wait()
	return seen
}

func (lane *Lane) follow(plan *Plan, clock *Clock, seen *Seen) {
	limit := clock.end.Add(patience)
	for {
		number, due, more := clock.take()
		if !more {
			return
		}
		sent := time.Now()
		if sent.After(limit) {
			seen.unsent++
			seen.took = append(seen.took, sent.Sub(due))
			continue
		}
		err := lane.send(&plan.requests[number%int64(len(plan.requests))], number, due, seen)
		seen.late = append(seen.late, sent.Sub(due))
		if err != nil {
			clock.fail()
			seen.errors++
			if len(seen.faults) < 3 {
				seen.faults = append(seen.faults, err.Error())
			}
		}
	}
}

// send notes how long a request took: to the last byte of its answer, before that is looked at.
func (lane *Lane) send(request *Request, number int64, due time.Time, seen *Seen) error {
	mark := request.markFor(number)
	status, answer, err := lane.ask(request, mark)
	seen.end = time.Now()
	seen.took = append(seen.took, seen.end.Sub(due))
	if lane.target.fresh || err != nil {
		lane.hangUp()
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", request.Method, request.Path, err)
	}
	return request.check(status, answer, mark)
}
