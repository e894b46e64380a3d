package bench

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/cmd/crossfade/load"
)

// Variant is a way to the Service that is measured.
type Variant string

// The variants, in the order of a turn.
const (
	Without Variant = "without"
	With    Variant = "with"
	Plain   Variant = "plain" // behind an Envoy that was configured by hand
)

// Setting is what was measured and how.
type Setting struct {
	// Service is NAMESPACE/NAME:PORT, and URL what the clients ask.
	Service string `json:"service"`
	URL     string `json:"url"`
	// Node is where the clients run.
	Node string `json:"node"`
	// Rate is in requests per second.
	Rate        float64 `json:"rate"`
	Connections int     `json:"connections"`
	Protocol    string  `json:"protocol"`
	Rounds      int     `json:"rounds"`
	// RoundSeconds is how long one round takes.
	RoundSeconds float64 `json:"roundSeconds"`
	// Pods are those behind the Service, MeshedPods those of them with a sidecar.
	Pods       int `json:"pods"`
	MeshedPods int `json:"meshedPods"`
}

// Measured is all that was measured.
type Measured struct {
	Setting Setting
	// Variants are those that were measured, in the order in which they are shown.
	Variants []Variant
	// Rounds of each variant.
	Rounds map[Variant][]load.Round
	// Proxies that stood in the way of any variant.
	Proxies []Proxy
}

// Proxy is one whose cost was watched.
type Proxy struct {
	// Pod is its pod, of whose it is: "client" or "service".
	Pod, Of string
	// Used is what it had used before and after rounds of each variant.
	Used map[Variant][]Pair
}

// Report is what is told. Its JSON is for programs: fields are only ever added.
type Report struct {
	Setting
	Clients []Client      `json:"clients"`
	Proxies []ProxyReport `json:"proxies"`
	// Notes say what a reader has to know before he believes the numbers.
	Notes []string `json:"notes"`
}

// Client is what one variant measured, all of its rounds together.
type Client struct {
	Variant Variant `json:"client"`
	// Times are in milliseconds, of the requests that were answered.
	P50 float64 `json:"p50Milliseconds"`
	P90 float64 `json:"p90Milliseconds"`
	P99 float64 `json:"p99Milliseconds"`
	Max float64 `json:"maxMilliseconds"`
	// RoundsP99 are the single rounds': how far they are apart says how much a
	// difference between clients means.
	RoundsP99 []float64 `json:"roundsP99Milliseconds"`
	Requests  int       `json:"requests"`
	// Errors are counted by kind; they are in none of the times.
	Errors map[string]int `json:"errors"`
	// Rate is what was reached, in requests per second.
	Rate float64 `json:"achievedRate"`
}

// failed is how many requests had no good answer.
func (c Client) failed() int {
	sum := 0
	for _, n := range c.Errors {
		sum += n
	}
	return sum
}

// ProxyReport is what one proxy cost. What is not known is absent.
type ProxyReport struct {
	Pod string `json:"pod"`
	Of  string `json:"of"`
	// Cores is how many processors it used on average in the rounds of each variant.
	Cores map[Variant]float64 `json:"cores,omitempty"`
	// Memory is the most that was seen, in bytes.
	Memory *float64 `json:"memoryBytes,omitempty"`
}

// NewReport counts together what was measured.
func NewReport(m Measured) Report {
	r := Report{Setting: m.Setting, Proxies: []ProxyReport{}}
	for _, v := range m.Variants {
		r.Clients = append(r.Clients, newClient(v, m.Rounds[v]))
	}
	for _, p := range m.Proxies {
		r.Proxies = append(r.Proxies, newProxyReport(p))
	}
	r.Notes = r.notes()
	return r
}

func newClient(v Variant, rounds []load.Round) Client {
	c := Client{Variant: v, Errors: map[string]int{}, RoundsP99: []float64{}}
	var all load.Distribution
	var took time.Duration
	for _, round := range rounds {
		all = all.Merge(round.Answers)
		took += round.Took
		c.Requests += round.Requests
		for kind, n := range round.Errors {
			c.Errors[kind] += n
		}
		if round.Answers.Total() > 0 {
			c.RoundsP99 = append(c.RoundsP99, milliseconds(round.Answers.Percentile(0.99)))
		}
	}
	c.P50, c.P90, c.P99 = milliseconds(all.Percentile(0.5)), milliseconds(all.Percentile(0.9)), milliseconds(all.Percentile(0.99))
	c.Max = milliseconds(all.Max)
	if took > 0 {
		c.Rate = float64(c.Requests) / took.Seconds()
	}
	return c
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func newProxyReport(p Proxy) ProxyReport {
	r := ProxyReport{Pod: p.Pod, Of: p.Of, Cores: map[Variant]float64{}}
	for v, pairs := range p.Used {
		if n, known := cores(pairs); known {
			r.Cores[v] = n
		}
		for _, pair := range pairs {
			for _, s := range []Sample{pair.Before, pair.After} {
				if r.Memory == nil || s.Memory > *r.Memory {
					r.Memory = &s.Memory
				}
			}
		}
	}
	return r
}

func (r Report) client(v Variant) (Client, bool) {
	i := slices.IndexFunc(r.Clients, func(c Client) bool { return c.Variant == v })
	if i < 0 {
		return Client{}, false
	}
	return r.Clients[i], true
}

// lateRate is the share of the wanted rate below which the times are no longer
// those of that rate: who waits for slow answers asks less, just then.
const lateRate = 0.95

func (r Report) notes() []string {
	notes := []string{}
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	for _, c := range r.Clients {
		if n := c.failed(); n > 0 {
			add("the client %s: %d of %d requests failed (%s); they are in none of the times", titles[c.Variant], n, c.Requests, kinds(c.Errors))
		}
		if c.Rate < lateRate*r.Rate {
			add("the client %s reached %.0f of %.0f requests per second, so answers took longer than the times say: measure with a lower rate or more connections", titles[c.Variant], c.Rate, r.Rate)
		}
	}
	without, one := r.client(Without)
	with, two := r.client(With)
	if one && two && len(without.RoundsP99) > 1 && len(with.RoundsP99) > 1 && overlap(without.RoundsP99, with.RoundsP99) {
		add("p99 is not clear: that of single rounds without a sidecar reaches into that with one. More or longer rounds, or a quieter machine, would tell")
	}
	switch r.MeshedPods {
	case 0:
		add("no pod of the Service has a sidecar: this is the cost of the client's")
	case r.Pods:
		add("all pods of the Service have a sidecar, which the client without one goes through too: the difference is the client's sidecar and mutual TLS")
	default:
		add("%d of %d pods of the Service have a sidecar, which the client without one goes through too", r.MeshedPods, r.Pods)
	}
	return notes
}

// overlap says that the lower of two sets of numbers, by their least, reaches
// into the other.
func overlap(a, b []float64) bool {
	return slices.Max(a) >= slices.Min(b) && slices.Max(b) >= slices.Min(a)
}

// kinds lists errors, the most frequent first.
func kinds(errors map[string]int) string {
	names := slices.SortedFunc(maps.Keys(errors), func(a, b string) int {
		return cmp.Or(cmp.Compare(errors[b], errors[a]), cmp.Compare(a, b))
	})
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = fmt.Sprintf("%s: %d", name, errors[name])
	}
	return strings.Join(texts, ", ")
}
