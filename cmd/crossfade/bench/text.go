package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// titles of the variants for people.
var titles = map[Variant]string{Without: "without sidecar", With: "with sidecar", Plain: "with plain Envoy"}

// notKnown stands where a number would be a guess.
const notKnown = "not known"

// WriteJSON writes the report for programs.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// WriteText writes the report for people.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %g requests/s on %d connections, %s; %d rounds of %g s each, in turns, on node %s\n\n",
		r.Service, r.Rate, r.Connections, r.Protocol, r.Rounds, r.RoundSeconds, r.Node)
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	r.latencies(t)
	_ = t.Flush() // Into memory.
	if len(r.Proxies) > 0 {
		fmt.Fprintln(&b)
		t = tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
		r.proxies(t)
		_ = t.Flush()
	}
	if len(r.Notes) > 0 {
		fmt.Fprintln(&b)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "- %s\n", note)
	}
	// The last column is padded like the others.
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	return nil
}

// latencies is a line for each number and a column for each client, and what the
// one with a sidecar has more than the others.
func (r Report) latencies(w io.Writer) {
	row := func(name string, cell func(Client) string, cost func(base, with Client) string) {
		cells := []string{name}
		for _, c := range r.Clients {
			cells = append(cells, cell(c))
		}
		with, _ := r.client(With)
		for _, v := range []Variant{Without, Plain} {
			if base, there := r.client(v); there {
				cells = append(cells, cost(base, with))
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	nothing := func(Client, Client) string { return "" }
	row("", func(c Client) string { return titles[c.Variant] }, func(base, _ Client) string {
		return map[Variant]string{Without: "cost", Plain: "over plain Envoy"}[base.Variant]
	})
	for _, number := range []struct {
		name string
		of   func(Client) float64
	}{
		{"p50", func(c Client) float64 { return c.P50 }},
		{"p90", func(c Client) float64 { return c.P90 }},
		{"p99", func(c Client) float64 { return c.P99 }},
		{"max", func(c Client) float64 { return c.Max }},
	} {
		row(number.name, func(c Client) string { return timeText(c, number.of(c)) }, func(base, with Client) string {
			return difference(base, with, number.of)
		})
	}
	row("p99 of rounds", func(c Client) string {
		if len(c.RoundsP99) == 0 {
			return notKnown
		}
		return fmt.Sprintf("%.3f to %.3f ms", slices.Min(c.RoundsP99), slices.Max(c.RoundsP99))
	}, nothing)
	row("requests", func(c Client) string { return fmt.Sprint(c.Requests) }, nothing)
	row("errors", func(c Client) string { return fmt.Sprint(c.failed()) }, nothing)
	row("rate", func(c Client) string { return fmt.Sprintf("%.0f/s", c.Rate) }, nothing)
}

// timeText is a time of a client; one that got no answer has none.
func timeText(c Client, value float64) string {
	if c.failed() >= c.Requests {
		return notKnown
	}
	return fmt.Sprintf("%.3f ms", value)
}

func difference(base, with Client, of func(Client) float64) string {
	if base.failed() >= base.Requests || with.failed() >= with.Requests || of(base) == 0 {
		return notKnown
	}
	more := of(with) - of(base)
	return fmt.Sprintf("%+.3f ms (%+.0f %%)", more, math.Round(100*more/of(base)))
}

// proxies is a line for each proxy: CPU in the rounds of each client, and memory.
func (r Report) proxies(w io.Writer) {
	cells := []string{"proxy in pod", "of the"}
	for _, c := range r.Clients {
		cells = append(cells, "CPU, "+titles[c.Variant])
	}
	fmt.Fprintln(w, strings.Join(append(cells, "memory"), "\t"))
	for _, p := range r.Proxies {
		cells := []string{p.Pod, p.Of}
		for _, c := range r.Clients {
			if n, known := p.Cores[c.Variant]; known {
				cells = append(cells, fmt.Sprintf("%.0fm", 1000*n))
			} else {
				cells = append(cells, notKnown)
			}
		}
		memory := notKnown
		if p.Memory != nil {
			memory = fmt.Sprintf("%.0f MiB", *p.Memory/(1<<20))
		}
		fmt.Fprintln(w, strings.Join(append(cells, memory), "\t"))
	}
}
