package main

import (
	"math"
	"slices"
	"time"
)

// lateFrom is from when on a request counts as sent late.
const lateFrom = time.Millisecond

// Result is what a run found; times are milliseconds, those of the run and of the processor seconds.
type Result struct {
	Count     int          `json:"count"`
	Errors    int          `json:"errors"`
	Faults    []string     `json:"faults"`
	Unsent    int          `json:"unsent"`
	Warmed    int          `json:"warmed"`
	Seconds   float64      `json:"seconds"`
	Processor float64      `json:"processor"`
	P50       float64      `json:"p50"`
	P90       float64      `json:"p90"`
	P99       float64      `json:"p99"`
	P999      float64      `json:"p999"`
	Max       float64      `json:"max"`
	Late      int          `json:"late"`
	LateP99   float64      `json:"late_p99"`
	LateMax   float64      `json:"late_max"`
	Opened    int          `json:"opened"`
	Resumed   int          `json:"resumed"`
	Histogram [][2]float64 `json:"histogram"`
}

func summed(lanes []*Seen) *Result {
	var took, late []time.Duration
	found := &Result{}
	var begin, end time.Time
	for _, seen := range lanes {
		took = append(took, seen.took...)
		late = append(late, seen.late...)
		found.Errors += seen.errors
		found.Unsent += seen.unsent
		found.Faults = append(found.Faults, seen.faults...)
		begin = seen.begin
		if seen.end.After(end) {
			end = seen.end
		}
	}
	slices.Sort(took)
	slices.Sort(late)
	found.Count = len(took)
	if len(took) > 0 {
		found.Seconds = end.Sub(begin).Seconds()
	}
	found.P50, found.P90 = percentile(took, 50), percentile(took, 90)
	found.P99, found.P999 = percentile(took, 99), percentile(took, 99.9)
	found.Max = percentile(took, 100)
	found.LateP99, found.LateMax = percentile(late, 99), percentile(late, 100)
	for _, each := range late {
		if each >= lateFrom {
			found.Late++
		}
	}
	found.Histogram = histogram(took)
	return found
}

// percentile is by nearest rank: a latency that was measured.
func percentile(sorted []time.Duration, percent float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	// 99.9 % of 1,000 are 999, whatever floats make of it.
	rank := int(math.Ceil(percent*float64(len(sorted))/100 - 1e-6))
	return milliseconds(sorted[max(rank, 1)-1])
}

func milliseconds(of time.Duration) float64 {
	return math.Round(float64(of)/float64(time.Microsecond)) / 1000
}

// histogram counts in buckets that are 1 % wide, each by its upper end: several runs can be added up.
func histogram(sorted []time.Duration) [][2]float64 {
	counts := [][2]float64{}
	for _, each := range sorted {
		micro := math.Max(1, float64(each)/float64(time.Microsecond))
		upper := math.Pow(1.01, math.Ceil(math.Log(micro)/math.Log(1.01)))
		upper = math.Round(upper*10) / 10000
		if last := len(counts) - 1; last >= 0 && counts[last][0] == upper {
			counts[last][1]++
		} else {
			counts = append(counts, [2]float64{upper, 1})
		}
	}
	return counts
}
