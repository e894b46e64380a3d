// Package forecast tells a delivery before it begins: its steps with the earliest
// times, how many pods there are, and how many requests meet the canary. It asks the
// rules of package delivery what each step is, so what it tells is what happens, if
// nothing goes wrong and nobody waits.
package forecast

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// Moment is a point at which a schedule may hold a delivery.
type Moment int

// The moments.
const (
	BeforeStart Moment = iota
	BeforeStep
	BeforePromotion
)

// Input is what a forecast is made from.
type Input struct {
	// Rollout has its checks filled in from their templates.
	Rollout *v1alpha1.Rollout
	// Replicas is how many pods the Deployment asks for.
	Replicas int32
	// Startup is how long a pod needs at least until it is available.
	Startup time.Duration
	// Start is when the template changes.
	Start time.Time
	// Rate is how many requests the Service gets in a second; nil when nobody knows.
	Rate *float64
	// Opens says from when on a moment that comes at a time is allowed, and what is
	// waited for until then; a zero time is never. Nil stands for always.
	Opens func(m Moment, at time.Time) (opens time.Time, why string)
}

// Forecast is a delivery that goes well.
type Forecast struct {
	Namespace string    `json:"namespace"`
	Rollout   string    `json:"rollout"`
	Strategy  string    `json:"strategy"`
	Start     time.Time `json:"start"`
	Steps     []Step    `json:"steps"`
	// PodsNow is the Deployment's size, PodsAtPeak how many pods there are at most.
	PodsNow    int32 `json:"podsNow"`
	PodsAtPeak int32 `json:"podsAtPeak"`
	// Rate is in requests per second.
	Rate *float64 `json:"requestsPerSecond,omitempty"`
	// Exposed is about how many requests meet the canary before it is promoted.
	Exposed *int64 `json:"requestsExposed,omitempty"`
	// Promoted is when all requests are on the canary at the earliest, Over when the
	// former revision's pods are gone; nil when that never comes.
	Promoted *time.Time `json:"promotedEarliest,omitempty"`
	Over     *time.Time `json:"overEarliest,omitempty"`
	// ByPerson says that somebody has to end a step: all that comes after is later.
	ByPerson bool `json:"byPerson"`
	// Returns says that the canary goes back to stable at the end.
	Returns bool `json:"returns,omitempty"`
}

// Step is a step of a Forecast.
type Step struct {
	// Name is as people count: "1/3", or "all" for what follows the last one.
	Name string `json:"name"`
	// Share is the canary's share of the requests, in percent.
	Share float64 `json:"sharePercent"`
	// Traffic says in words which requests it gets besides.
	Traffic []string `json:"traffic,omitempty"`
	// Pods is the canary's size, AllPods that of both revisions.
	Pods    int32 `json:"canaryPods"`
	AllPods int32 `json:"allPods"`
	// Earliest is when its weight is on the proxies at the earliest; nil when never.
	Earliest *time.Time `json:"earliest,omitempty"`
	// AfterPerson says that somebody has to end an earlier step first.
	AfterPerson bool `json:"afterPerson,omitempty"`
	// Waits is what a schedule has it wait for.
	Waits string `json:"waits,omitempty"`
	// Lasts is how long it lasts at least; ByPerson, that somebody ends it.
	Lasts    string `json:"lastsAtLeast"`
	ByPerson bool   `json:"byPerson,omitempty"`
	// Checks are the names of those that must pass in it.
	Checks []string `json:"checks,omitempty"`
	// Requests is about how many requests meet the canary in it, per minute where
	// somebody ends it.
	Requests          *int64 `json:"requestsExposed,omitempty"`
	RequestsPerMinute *int64 `json:"requestsExposedPerMinute,omitempty"`
}

// Make makes a forecast.
func Make(in Input) Forecast {
	f := Forecast{
		Namespace: in.Rollout.Namespace, Rollout: in.Rollout.Name, Strategy: strategy(in.Rollout), Start: in.Start,
		PodsNow: in.Replicas, PodsAtPeak: in.Replicas, Rate: in.Rate,
	}
	legs := delivery.Outline(in.Rollout, in.Replicas)
	c := clock{at: in.Start}
	for i := range legs {
		f.add(&in, &c, legs, i)
	}
	f.end(&in, &c)
	return f
}

// clock goes from step to step.
type clock struct {
	at time.Time
	// since is when the weight of the last step was there.
	since time.Time
	// never says that the schedule does not open again.
	never bool
	// pods are the canary's so far.
	pods int32
	// person says that somebody had to end a step.
	person bool
}

func (f *Forecast) add(in *Input, c *clock, legs []delivery.Leg, i int) {
	leg := &legs[i]
	if leg.Whole && f.Returns {
		f.expose(in, &legs[i-1], c)
		return
	}
	s := Step{
		Name: fmt.Sprintf("%d/%d", i+1, len(legs)-1), Share: 100 * float64(leg.Weight) / float64(leg.Total), Traffic: words(leg.Traffic),
		Pods: leg.Pods, AllPods: in.Replicas + leg.Pods, ByPerson: leg.ByPerson, AfterPerson: c.person,
	}
	if leg.Whole {
		s.Name = "all"
	}
	s.Waits = c.wait(in, moment(legs, i))
	c.start(in, leg.Pods)
	if i > 0 {
		f.expose(in, &legs[i-1], c)
	}
	if !c.never {
		at := c.at
		s.Earliest = &at
	}
	lasts := leg.Hold
	for j := range leg.Checks {
		if check := &leg.Checks[j]; !check.DryRun {
			s.Checks = append(s.Checks, check.Name)
			lasts = max(lasts, delivery.FirstMeasured(in.Rollout, check))
		}
	}
	s.Lasts = lasts.String()
	c.since = c.at
	c.at, c.person = c.at.Add(lasts), c.person || leg.ByPerson
	f.Steps, f.PodsAtPeak = append(f.Steps, s), max(f.PodsAtPeak, s.AllPods)
	f.ByPerson, f.Returns = c.person, f.Returns || leg.Returns
}

// moment is the gate before a step. The promotion is asked for before the canary has
// everything, be it in a step or after the last one.
func moment(legs []delivery.Leg, i int) Moment {
	switch {
	case i == 0:
		return BeforeStart
	case legs[i].Switched || legs[i].Whole && !legs[i-1].Switched:
		return BeforePromotion
	}
	return BeforeStep
}

// wait lets time pass until a moment is allowed, and says what for.
func (c *clock) wait(in *Input, m Moment) string {
	if in.Opens == nil || c.never {
		return ""
	}
	opens, why := in.Opens(m, c.at)
	if opens.IsZero() {
		c.never = true
	} else if opens.After(c.at) {
		c.at = opens
	}
	return why
}

// start lets the time pass that more pods need: one first, then the others.
func (c *clock) start(in *Input, pods int32) {
	if c.pods == 0 && pods > 0 {
		c.at, c.pods = c.at.Add(in.Startup), 1
	}
	if pods > c.pods {
		c.at = c.at.Add(in.Startup)
	}
	c.pods = max(c.pods, pods)
}

// expose estimates how many requests meet the canary in the last step so far, which
// is served until the next one is there: also while that waits for a window, or for
// its pods. How many requests fit a match, or an audience, nobody knows.
func (f *Forecast) expose(in *Input, leg *delivery.Leg, c *clock) {
	if in.Rate == nil || leg.Weight == 0 || leg.Traffic != nil && len(leg.Traffic.Audience) > 0 {
		return
	}
	s := &f.Steps[len(f.Steps)-1]
	perSecond := *in.Rate * s.Share / 100
	if leg.ByPerson || c.never {
		n := int64(math.Round(perSecond * 60))
		s.RequestsPerMinute = &n
	}
	n := int64(math.Round(perSecond * c.at.Sub(c.since).Seconds()))
	s.Requests = &n
	sum := n
	if f.Exposed != nil {
		sum += *f.Exposed
	}
	f.Exposed = &sum
}

func (f *Forecast) end(in *Input, c *clock) {
	if c.never || f.Returns {
		return
	}
	promoted, over := c.at, c.at.Add(delivery.ScaleDownDelay(in.Rollout))
	f.Promoted, f.Over = &promoted, &over
}

func strategy(ro *v1alpha1.Rollout) string {
	switch s := &ro.Spec.Strategy; {
	case s.BlueGreen != nil:
		return "blueGreen"
	case s.ABTest != nil:
		return "abTest"
	}
	return "canary"
}

// words say which requests the canary gets besides its weight.
func words(t *v1alpha1.Traffic) []string {
	if t == nil {
		return nil
	}
	var out []string
	if len(t.Match) > 0 {
		out = append(out, "all requests with "+matches(t.Match))
	}
	if len(t.Audience) > 0 {
		out = append(out, "the share is of requests with "+matches(t.Audience))
	}
	if t.Mirror != nil {
		methods := "GET, HEAD, OPTIONS"
		if len(t.Mirror.Methods) > 0 {
			methods = strings.Join(t.Mirror.Methods, ", ")
		}
		out = append(out, fmt.Sprintf("copies of %d %% of stable's requests (%s)", t.Mirror.Percent, methods))
	}
	if s := t.Sticky; s != nil && s.Cookie != nil {
		out = append(out, "users stay by cookie "+s.Cookie.Name)
	} else if s != nil && s.Header != nil {
		out = append(out, "users stay by header "+s.Header.Name)
	}
	return out
}

func matches(list []v1alpha1.RequestMatch) string {
	alternatives := make([]string, len(list))
	for i := range list {
		var all []string
		for _, kind := range []struct {
			name   string
			values []v1alpha1.ValueMatch
		}{{"header", list[i].Headers}, {"cookie", list[i].Cookies}, {"query parameter", list[i].QueryParams}} {
			for _, m := range kind.values {
				all = append(all, kind.name+" "+condition(m))
			}
		}
		alternatives[i] = strings.Join(all, " and ")
	}
	return strings.Join(slices.Compact(alternatives), " or ")
}

func condition(m v1alpha1.ValueMatch) string {
	value := ""
	if m.Value != nil {
		value = *m.Value
	}
	switch m.Type {
	case v1alpha1.MatchPresent:
		return m.Name
	case v1alpha1.MatchPrefix:
		return m.Name + "=" + value + "*"
	case v1alpha1.MatchRegex:
		return m.Name + "=~" + value
	case v1alpha1.MatchExact:
	}
	return m.Name + "=" + value
}
