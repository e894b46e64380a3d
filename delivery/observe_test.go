package delivery

import (
	"slices"
	"strconv"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery/schedule"
)

// cache is what the controller has seen of the world, each object at some time.
type cache struct {
	ro     *v1alpha1.Rollout
	roRV   int
	recRV  int
	d      *deployment
	rss    []*replicaSet
	holder *holder
	svcs   []*service
}

func (c *cache) ready(revision string) int32 {
	for _, r := range c.rss {
		if r.Revision == revision {
			_, n := r.living()
			return n
		}
	}
	return 0
}

// see brings one kind of object in the cache up to date; there are four.
func (w *world) see(kind int) {
	switch kind {
	case 0:
		w.cache.ro, w.cache.roRV, w.cache.recRV = nil, w.roRV, w.recRV
		if w.ro != nil {
			w.cache.ro = w.ro.DeepCopy()
		}
	case 1:
		w.cache.d, w.cache.holder = nil, nil
		if w.d != nil {
			d := *w.d
			w.cache.d = &d
		}
		if w.holder != nil {
			h := *w.holder
			w.cache.holder = &h
		}
	case 2:
		w.cache.rss = w.cache.rss[:0:0]
		for _, r := range w.rss {
			c := *r
			c.pods = slices.Clone(r.pods)
			w.cache.rss = append(w.cache.rss, &c)
		}
	case 3:
		w.cache.svcs = w.cache.svcs[:0:0]
		for _, s := range w.svcs {
			c := *s
			c.Endpoints = slices.Clone(s.Endpoints)
			w.cache.svcs = append(w.cache.svcs, &c)
		}
	}
}

func (w *world) seeAll() {
	for kind := range 4 {
		w.see(kind)
	}
}

// observe is what the shell gathers, from the cache.
func (w *world) observe() Observation {
	c := &w.cache
	o := Observation{
		Now: w.now, Rollout: c.ro, Refused: w.refused, Policies: w.policies,
		Autoscaled: w.autoscaled, NamespaceTerminating: w.terminating,
		Samples: w.samples, HookAnswers: w.hookAnswers,
	}
	w.templates.fill(&o)
	w.samples, w.hookAnswers = nil, nil
	if spec := c.ro.Spec.Schedule; spec != nil {
		var err error
		if o.Schedule, err = schedule.Read(spec); err != nil && o.Refused == nil {
			o.Refused = &Refusal{Reason: v1alpha1.ReasonInvalidSchedule, Message: err.Error()}
		}
	}
	for _, f := range w.freezes {
		o.Freezes = append(o.Freezes, schedule.ReadFreeze(f))
	}
	if w.post != nil {
		o.Told = slices.Clone(w.post.told)
	}
	name, service := c.ro.Spec.WorkloadRef.Name, c.ro.Spec.ServiceRef.Name
	if rec := c.ro.Status.Record; rec != nil {
		name, service = rec.Workload, rec.Service
	}
	if c.d != nil && c.d.Name == name {
		d := c.d.Deployment
		d.ResourceVersion = strconv.Itoa(c.d.rv)
		o.Deployment = &d
	}
	for _, r := range c.rss {
		x := r.ReplicaSet
		x.ResourceVersion, x.Observed = strconv.Itoa(r.rv), r.observed == r.generation
		x.Pods = int32(len(r.pods))
		_, x.Ready = r.living()
		o.ReplicaSets = append(o.ReplicaSets, x)
	}
	if c.holder != nil {
		h := c.holder.Holder
		h.ResourceVersion = strconv.Itoa(c.holder.rv)
		o.Holder = &h
	}
	for _, s := range c.svcs {
		x := s.Service
		x.ResourceVersion = strconv.Itoa(s.rv)
		if s.Name == service {
			o.Service = &x
		} else {
			o.OtherServices = append(o.OtherServices, x)
		}
	}
	o.Proxies = w.observeProxies()
	w.observeAsked(&o)
	return o
}

func (w *world) observeProxies() Proxies {
	x := Proxies{Current: w.renderedRV == w.cache.recRV && w.published != nil}
	pub := w.published
	if pub != nil {
		x.Published = []string{pub.stable}
		x.Effective, x.Agreed = pub.weight, pub.weight
		for _, r := range []string{pub.canary, pub.old} {
			if r != "" {
				x.Published = append(x.Published, r)
			}
		}
	}
	may := map[string]bool{}
	for _, p := range w.proxies {
		if !p.present && !p.connected {
			continue
		}
		x.Expected++
		for _, r := range append([]*route{p.acked, p.sent}, publishedTo(p, pub)) {
			if r != nil {
				may[r.stable] = may[r.stable] || r.leads(r.stable)
				may[r.canary] = may[r.canary] || r.leads(r.canary)
			}
		}
		if p.connected {
			x.Connected++
		}
		switch {
		case pub != nil && p.connected && p.acked != nil && *p.acked == *pub && p.sent == nil: // nothing else is on its way
			x.Acked++
			continue
		case pub != nil && p.rejected != nil && *p.rejected == *pub:
			x.Rejected++
			x.RejectedBy, x.Error = p.name, "no such thing as "+p.rejects
		}
		x.Silent = append(x.Silent, p.name)
		if x.PendingSince.IsZero() || (!p.pendingSince.IsZero() && p.pendingSince.Before(x.PendingSince)) {
			x.PendingSince = p.pendingSince
		}
		x.Agreed = min(x.Agreed, p.acked.share(p.acked.canaryName()))
	}
	for r, is := range may {
		if is && r != "" {
			x.MayRoute = append(x.MayRoute, r)
		}
	}
	slices.Sort(x.MayRoute)
	return x
}

func publishedTo(p *proxy, pub *route) *route {
	if p.connected {
		return nil
	}
	return pub
}

func (r *route) canaryName() string {
	if r == nil {
		return ""
	}
	return r.canary
}
