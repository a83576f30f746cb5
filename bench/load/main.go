// load sends recorded requests to one server and tells how long the answers took.
//
// Open loop (-rate N): request i is due at begin + i/N, whether the ones before it were answered or not, and its latency
// counts from then: a stall is in the latency of all that were due during it, not hidden by sending less. Closed loop
// (-rate 0): every connection sends its next request as soon as it has the last answer.
//
// Every answer is checked; what is wrong is counted and told. The result is one line of JSON.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"time"
)

// Memory is left alone up to here, then collected: a pause of ours would look like one of the server's.
const untouched = 1 << 30

func main() {
	plan, err := asked()
	if err == nil {
		debug.SetGCPercent(-1)
		debug.SetMemoryLimit(untouched)
		err = json.NewEncoder(os.Stdout).Encode(measured(plan))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "load: %v\n", err)
		os.Exit(2)
	}
}

// Plan is what to send, whereto and how.
type Plan struct {
	target   Target
	requests []Request
	rate     float64
	lanes    int
	warmup   time.Duration
	length   time.Duration
	first    int64
}

func asked() (*Plan, error) {
	url := flag.String("url", "", "`http(s)://HOST:PORT` of the server")
	socket := flag.String("socket", "", "`path` of a Unix socket to connect to instead of the host of -url")
	ca := flag.String("ca", "", "`file` with the CA of the server's certificate (PEM)")
	requests := flag.String("requests", "", "`file` of what to send, a JSON object a line")
	fresh := flag.String("connections", "kept", "kept, new (one for each request) or resumed (new, by a TLS session)")
	rate := flag.Float64("rate", 0, "requests a second; 0: as fast as it goes")
	lanes := flag.Int("lanes", 16, "connections at most")
	warmup := flag.Duration("warmup", 0, "the same load beforehand, checked and not counted")
	length := flag.Duration("length", time.Second, "how long to send")
	first := flag.Int64("first", 0, "the request to begin with, so that turns go on where the last one ended")
	flag.Parse()
	if *rate < 0 || *lanes < 1 || *length <= 0 {
		return nil, errors.New("-rate, -lanes and -length have to be positive")
	}
	target, err := newTarget(*url, *socket, *ca, *fresh)
	if err != nil {
		return nil, err
	}
	read, err := readRequests(*requests, target.host)
	if err != nil {
		return nil, err
	}
	return &Plan{*target, read, *rate, *lanes, *warmup, *length, *first}, nil
}

func measured(plan *Plan) *Result {
	lanes := make([]*Lane, plan.lanes)
	for i := range lanes {
		lanes[i] = &Lane{target: &plan.target}
	}
	warm := &Result{}
	next := plan.first
	if plan.warmup > 0 {
		warm = summed(drive(plan, lanes, next, plan.warmup))
		next += int64(warm.Count)
	}
	used := processor()
	found := summed(drive(plan, lanes, next, plan.length))
	found.Processor = (processor() - used).Seconds()
	found.Warmed = warm.Count
	found.Errors += warm.Errors
	found.Faults = append(warm.Faults, found.Faults...)
	for _, lane := range lanes {
		lane.hangUp()
		found.Opened += lane.opened
		found.Resumed += lane.resumed
	}
	return found
}

// processor returns the processor time that we have taken so far ourselves.
func processor() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
