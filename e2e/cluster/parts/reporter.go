package parts

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	// interval is the longest silence.
	interval = 5 * time.Second
	// kept are the last lines of a command, shown when it fails.
	kept = 20
)

// reporter tells what happens to one part, and every few seconds that it still
// happens. Commands write their output into it.
type reporter struct {
	out     io.Writer
	name    string
	started time.Time
	stop    chan struct{}
	stopped sync.WaitGroup

	mu    sync.Mutex
	doing string
	total int // of packages; 0 while nothing is counted
	lines int // since the last say or count
	last  []string
	rest  []byte // of a line not yet ended
}

func newReporter(out io.Writer, name string) *reporter {
	return &reporter{out: out, name: name, stop: make(chan struct{})}
}

func (r *reporter) begin() {
	r.started = time.Now()
	fmt.Fprintf(r.out, "%s: building\n", r.name)
	r.stopped.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-r.stop:
				return
			case <-tick.C:
				fmt.Fprintf(r.out, "%s: %s\n", r.name, r.progress(time.Since(r.started)))
			}
		}
	})
}

func (r *reporter) end(err error) {
	close(r.stop)
	r.stopped.Wait()
	if err == nil {
		fmt.Fprintf(r.out, "%s: done in %s\n", r.name, time.Since(r.started).Round(100*time.Millisecond))
	}
}

// say names what is done now.
func (r *reporter) say(doing string) { r.count(doing, 0) }

// count names what is counted now: the lines that a command writes, of which
// there are total if all are.
func (r *reporter) count(doing string, total int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doing, r.total, r.lines = doing, total, 0
}

func (r *reporter) progress(elapsed time.Duration) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	seconds := elapsed.Round(time.Second)
	switch {
	case r.total > 0:
		return fmt.Sprintf("%s, %s (%d of at most %d)", seconds, r.doing, r.lines, r.total)
	case r.lines > 0:
		return fmt.Sprintf("%s, %s (%d)", seconds, r.doing, r.lines)
	}
	return fmt.Sprintf("%s, %s", seconds, r.doing)
}

// Write takes the output of a command.
func (r *reporter) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest = append(r.rest, p...)
	for {
		line, rest, ended := bytes.Cut(r.rest, []byte("\n"))
		if !ended {
			return len(p), nil
		}
		r.lines++
		r.last = append(r.last, string(line))
		r.last = r.last[max(0, len(r.last)-kept):]
		r.rest = rest
	}
}

func (r *reporter) tail() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(append(r.last, string(r.rest)), "\n")
}
