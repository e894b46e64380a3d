package delivery

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// The controllers of the cluster. Each does one thing that is to be done and says
// whether there was one.

// deploymentController is the real one in small: it adopts orphans, scales what it
// owns even when paused, takes the oldest ReplicaSet with an equal template for
// its newest, and only creates one when it is not paused.
func (w *world) deploymentController() bool {
	d := w.d
	if d == nil || d.Deleting {
		return false
	}
	for _, r := range w.rss {
		if r.Owner == OwnerNone {
			r.Owner, r.rv = OwnerDeployment, w.next()
			return true
		}
	}
	newest, others := w.ownedRS()
	if newest != nil && w.numberRevision(newest, others) {
		return true
	}
	did := false
	switch {
	case d.Paused:
		did = w.scalePaused(newest, others)
		for _, r := range w.overLimit(others) {
			w.remove(r)
			return true
		}
	case d.Recreate:
		did = w.recreate(newest, others)
	default:
		did = w.roll(newest, others)
	}
	return did || w.deploymentStatus()
}

func (w *world) ownedRS() (newest *replicaSet, others []*replicaSet) {
	for _, r := range w.rss { // oldest first
		if r.Owner != OwnerDeployment {
			continue
		}
		if newest == nil && r.Template == w.d.Template {
			newest = r
			continue
		}
		others = append(others, r)
	}
	return newest, others
}

func (w *world) numberRevision(newest *replicaSet, others []*replicaSet) bool {
	var highest int64
	for _, r := range others {
		highest = max(highest, r.RevisionNumber)
	}
	if newest.RevisionNumber <= highest {
		newest.RevisionNumber, newest.rv = highest+1, w.next()
		return true
	}
	if w.d.RevisionNumber != newest.RevisionNumber {
		w.d.RevisionNumber, w.d.rv = newest.RevisionNumber, w.next()
		return true
	}
	return false
}

func (w *world) setReplicas(r *replicaSet, n int32) bool {
	if r.Replicas == n {
		return false
	}
	w.trace("kubernetes", fmt.Sprintf("Deployment scales %s from %d to %d", r.Name, r.Replicas, n))
	w.checkKeptByDeployment(r, n)
	r.Replicas, r.rv = n, w.next()
	r.generation++
	return true
}

// scalePaused is what a paused Deployment still does: the one active ReplicaSet,
// or else the newest, gets all replicas; several are scaled in proportion, which
// is here: the largest gets the difference. With strategy Recreate several are left
// alone.
func (w *world) scalePaused(newest *replicaSet, others []*replicaSet) bool {
	all := others
	if newest != nil {
		all = append(slices.Clone(others), newest)
	}
	if len(all) == 0 {
		return false
	}
	active := slices.DeleteFunc(slices.Clone(all), func(r *replicaSet) bool { return r.Replicas == 0 })
	switch {
	case len(active) == 1:
		return w.setReplicas(active[0], w.d.Replicas)
	case len(active) == 0 && newest != nil:
		return w.setReplicas(newest, w.d.Replicas)
	case len(active) == 0:
		return w.setReplicas(all[len(all)-1], w.d.Replicas)
	}
	if w.d.Recreate {
		return false // neither saturated (it never notes a desired size) nor in proportion
	}
	if newest != nil && newest.Replicas == w.d.Replicas && newest.Available == w.d.Replicas {
		did := false
		for _, r := range others {
			did = w.setReplicas(r, 0) || did
		}
		return did
	}
	total := int32(0)
	for _, r := range active {
		total += r.Replicas
	}
	largest := slices.MaxFunc(active, func(a, b *replicaSet) int { return int(a.Replicas - b.Replicas) })
	if delta := w.d.Replicas + 1 - total; delta < 0 || total < w.d.Replicas {
		return w.setReplicas(largest, max(0, largest.Replicas+delta))
	}
	return false
}

func (w *world) overLimit(others []*replicaSet) []*replicaSet {
	idle := slices.DeleteFunc(slices.Clone(others), func(r *replicaSet) bool {
		return r.Replicas != 0 || r.StatusReplicas != 0 || r.observed != r.generation
	})
	if n := len(idle) - int(w.d.HistoryLimit); n > 0 {
		return idle[:n]
	}
	return nil
}

func (w *world) remove(r *replicaSet) {
	w.rss = slices.DeleteFunc(w.rss, func(x *replicaSet) bool { return x == r })
}

func (w *world) deploymentStatus() bool {
	d := w.d
	newest, _ := w.ownedRS()
	updated := int32(0)
	if newest != nil {
		updated = newest.StatusReplicas
	}
	if d.ObservedGeneration == d.Generation && d.UpdatedReplicas == updated {
		return false
	}
	d.ObservedGeneration, d.UpdatedReplicas, d.rv = d.Generation, updated, w.next()
	return true
}

// replicaSetController makes and removes pods, then tells in the status.
func (w *world) replicaSetController(r *replicaSet) bool {
	living, ready := r.living()
	switch {
	case living < r.Replicas:
		w.checkFirstPod(r)
		r.pods = append(r.pods, pod{at: w.now.Add(w.startup)})
		return true
	case living > r.Replicas:
		i := slices.IndexFunc(r.pods, func(p pod) bool { return p.state == podPending })
		if i < 0 {
			i = slices.IndexFunc(r.pods, func(p pod) bool { return p.state == podReady })
		}
		r.pods[i] = pod{state: podTerminating, at: w.now.Add(w.stop)}
		return true
	}
	if r.observed != r.generation || r.StatusReplicas != living || r.Available != ready {
		r.observed, r.StatusReplicas, r.Available, r.rv = r.generation, living, ready, w.next()
		return true
	}
	return false
}

// kubelet starts and stops pods when their time has come.
func (w *world) kubelet(r *replicaSet) bool {
	for i := range r.pods {
		if w.now.Before(r.pods[i].at) {
			continue
		}
		switch r.pods[i].state {
		case podPending:
			if w.broken[r.Template] {
				continue
			}
			r.pods[i].state = podReady
			return true
		case podTerminating:
			r.pods = slices.Delete(r.pods, i, i+1)
			return true
		case podReady:
		}
	}
	return false
}

// endpoints brings the slices of a Service up to date.
func (w *world) endpoints(s *service) bool {
	var list []string
	for _, r := range w.rss {
		if _, ready := r.living(); ready > 0 && (s.Key == "" || s.Key == r.Revision) {
			list = append(list, r.Revision)
		}
	}
	if slices.Equal(list, s.Endpoints) {
		return false
	}
	s.Endpoints = list
	w.trace("kubernetes", fmt.Sprintf("endpoints of Service %s: %s", s.Name, or(strings.Join(list, " "), "none")))
	return true
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// --- the mesh

// route is what proxies are told, with the version of its content.
type route struct {
	stable, canary, old string
	weight, total       int32 // the canary's share
	// traffic is what the canary gets beside its weight, as text, so that routes can
	// be compared; reaches says that requests or copies come of it.
	traffic string
	reaches bool
}

func (r *route) share(revision string) int32 {
	switch {
	case r == nil || revision == "":
		return 0
	case revision == r.canary:
		return r.weight
	case revision == r.stable:
		return r.total - r.weight
	}
	return 0
}

type proxy struct {
	name               string
	present, connected bool
	acked, sent        *route
	delay              time.Duration
	ackAt              time.Time
	pendingSince       time.Time
	silent             bool
	rejects            string // a revision whose routes it refuses
	rejected           *route
}

// render publishes what the cached record says.
func (w *world) render() bool {
	ro := w.cache.ro
	var next *route
	if ro != nil && ro.Status.Record != nil {
		next = w.routeOf(ro.Status.Record)
	}
	same := (next == nil) == (w.published == nil) && (next == nil || *next == *w.published)
	if same && w.renderedRV == w.cache.recRV {
		return false
	}
	if !same {
		w.published = next
		for _, p := range w.proxies {
			if p.pendingSince.IsZero() {
				p.pendingSince = w.now
			}
		}
	}
	w.renderedRV = w.cache.recRV
	return true
}

// routeOf is the renderer in small: floor(weight × ready / capacity), and no
// weight to a revision without a ready endpoint unless there is none at all. With
// shiftAll a canary gets everything when stable has no endpoint (I2); without it
// stable keeps its share. A decision must be right with either.
func (w *world) routeOf(rec *v1alpha1.Record) *route {
	r := &route{stable: rec.Stable, canary: rec.Canary, old: rec.Old, total: max(1, rec.Total)}
	if rec.Canary == "" {
		return r
	}
	stable, canary := w.cache.ready(rec.Stable), w.cache.ready(rec.Canary)
	if rec.Capacity > 0 {
		r.weight = min(rec.Weight, int32(int64(rec.Weight)*int64(canary)/int64(rec.Capacity)))
	}
	if canary > 0 && stable == 0 && w.shiftAll {
		r.weight = r.total
	}
	if rec.Traffic != nil && canary > 0 { // with no pod, what matches goes to stable, too
		r.traffic, r.reaches = portionOf(rec).words(), portion{0, rec.Traffic}.reaches()
	}
	return r
}

// talk lets a proxy receive, or confirm what it has received.
func (w *world) talk(p *proxy) bool {
	if !p.connected || p.silent || w.published == nil {
		return false
	}
	if p.sent == nil {
		if p.acked != nil && *p.acked == *w.published || p.rejected != nil && *p.rejected == *w.published {
			p.pendingSince = time.Time{}
			return false
		}
		p.sent, p.ackAt = w.published, w.now.Add(p.delay)
		return true
	}
	if w.now.Before(p.ackAt) {
		return false
	}
	if p.rejects != "" && p.sent.canary == p.rejects && p.sent.leads(p.sent.canary) {
		p.rejected, p.sent = p.sent, nil
		return true
	}
	p.acked, p.sent = p.sent, nil
	if *p.acked == *w.published {
		p.pendingSince = time.Time{}
	} else {
		p.pendingSince = w.now
	}
	return true
}

func (p *proxy) may(revision string) bool {
	return p.acked.leads(revision) || p.sent.leads(revision)
}

// leads says that requests, or copies of some, go to a revision.
func (r *route) leads(revision string) bool {
	return r.share(revision) > 0 || (r != nil && r.reaches && revision != "" && revision == r.canary)
}

// words are a portion's traffic as text.
func (x portion) words() string {
	b, err := json.Marshal(x.traffic)
	if err != nil {
		panic(err)
	}
	return string(b)
}
