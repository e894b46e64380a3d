package delivery

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// portion is what a canary gets of the requests: a weight, and which ones beside it.
// The two are one thing: they are written together and confirmed together.
type portion struct {
	weight  int32
	traffic *v1alpha1.Traffic
}

// reaches says that a canary with this portion gets requests, or copies of some.
func (x portion) reaches() bool {
	return x.weight > 0 || (x.traffic != nil && (len(x.traffic.Match) > 0 || x.traffic.Mirror != nil))
}

func (x portion) equals(y portion) bool {
	return x.weight == y.weight && equality.Semantic.DeepEqual(x.traffic, y.traffic)
}

// parts are the traffic's, empty where there is none.
func (x portion) parts() v1alpha1.Traffic {
	if x.traffic == nil {
		return v1alpha1.Traffic{}
	}
	return *x.traffic
}

func portionOf(r *v1alpha1.Record) portion { return portion{r.Weight, r.Traffic} }

// reached says that the canary gets requests by the record: then somebody must be
// there to shift them, and the checks judge what comes of it.
func (p *pass) reached() bool { return portionOf(p.rec).reaches() }

// hash names a portion in few bytes.
func (x portion) hash() string {
	traffic, _ := json.Marshal(x.traffic) // It never fails: all of it is text and numbers.
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d %s", x.weight, traffic) // Nor does this.
	return fmt.Sprintf("%016x", h.Sum64())
}

// wanted is what the record's step asks for. With the whole weight only what a user
// is known by is kept, so that he stays where he is should canary pods be lost.
func (p *pass) wanted() portion {
	if s := p.step(); s != nil {
		return portion{p.weightWanted(), s.Traffic}
	}
	x := portion{weight: p.weightWanted()}
	if steps := p.steps(); len(steps) > 0 {
		if last := steps[len(steps)-1].Traffic; last != nil {
			x.traffic = trafficOf(v1alpha1.Traffic{Sticky: last.Sticky})
		}
	}
	return x
}

// adds says that x sends requests to the canary that have does not, or divides users
// in another way: all that needs the acks and verdicts of a rise.
func (x portion) adds(have portion, total int32) bool { return !x.equals(lesser(have, x, total)) }

// lesser is what is left of have when all goes that want does not have, too. It only
// ever moves requests to stable, so it may be written at once.
func lesser(have, want portion, total int32) portion {
	h, w := have.parts(), want.parts()
	out := portion{weight: min(have.weight, want.weight)}
	t := v1alpha1.Traffic{Match: common(h.Match, w.Match), Mirror: lesserMirror(h.Mirror, w.Mirror), Sticky: h.Sticky, Audience: h.Audience}
	if want.weight >= total && len(w.Audience) == 0 {
		t.Match = h.Match // all requests are more than those that match
	}
	switch {
	case within(w.Audience, h.Audience):
		t.Audience = w.Audience
	case !within(h.Audience, w.Audience):
		out.weight = 0 // others take part: nobody does until that is confirmed
	}
	if w.Sticky == nil && out.weight == 0 && len(t.Match) == 0 {
		t.Sticky = nil // nobody is on the canary to stay there
	}
	out.traffic = trafficOf(t)
	return out
}

// common are the entries of want that have has, too.
func common(have, want []v1alpha1.RequestMatch) []v1alpha1.RequestMatch {
	var out []v1alpha1.RequestMatch
	for i := range want {
		if slices.ContainsFunc(have, func(m v1alpha1.RequestMatch) bool { return equality.Semantic.DeepEqual(m, want[i]) }) {
			out = append(out, want[i])
		}
	}
	return out
}

// within says that all of an audience are of another one; no entries are everybody.
func within(inner, outer []v1alpha1.RequestMatch) bool {
	if len(outer) == 0 {
		return true
	}
	return len(inner) > 0 && len(common(outer, inner)) == len(inner)
}

// readOnly are the methods that are mirrored where none are named.
var readOnly = []string{"GET", "HEAD", "OPTIONS"}

func methods(m *v1alpha1.Mirror) []string {
	if len(m.Methods) == 0 {
		return readOnly
	}
	return m.Methods
}

// lesserMirror are the copies that both ask for.
func lesserMirror(have, want *v1alpha1.Mirror) *v1alpha1.Mirror {
	if have == nil || want == nil {
		return nil
	}
	var both []string
	for _, m := range methods(want) {
		if slices.Contains(methods(have), m) {
			both = append(both, m)
		}
	}
	switch len(both) {
	case 0:
		return nil
	case len(methods(want)):
		both = want.Methods // as it is written, so that it equals what is wanted
	}
	return &v1alpha1.Mirror{Percent: min(have.Percent, want.Percent), Methods: both}
}

// warnOfWrites tells that a step copies requests that change something. The API lets
// only somebody do that who names the methods; here is what it means.
func (p *pass) warnOfWrites(step int32, canary string) {
	steps := p.steps()
	if int(step) > len(steps) || steps[step-1].Traffic == nil || steps[step-1].Traffic.Mirror == nil {
		return
	}
	var writes []string
	for _, m := range methods(steps[step-1].Traffic.Mirror) {
		if !slices.Contains(readOnly, m) {
			writes = append(writes, m)
		}
	}
	if len(writes) > 0 {
		p.warn(EventMirrorsWrites, fmt.Sprintf("revision %s gets copies of %s requests: each is done twice (an order, a payment, a mail), unless the canary writes elsewhere", canary, join(writes)))
	}
}

// load is the share of the requests, out of total, that canary pods must be there
// for: the weight, and the copies of what stable gets. How many match nobody knows.
func (x portion) load(total int32) int64 {
	weight := int64(x.weight)
	if m := x.parts().Mirror; m != nil {
		weight += ((int64(total)-weight)*int64(m.Percent) + 99) / 100
	}
	return weight
}

// summary is the portion in a column's width.
func (x portion) summary(total int32) string {
	t := x.parts()
	s := fmt.Sprint(x.weight)
	if total != defaultTotal && total > 0 {
		s = fmt.Sprintf("%d/%d", x.weight, total)
	}
	if len(t.Audience) > 0 {
		s += " of match"
	}
	if len(t.Match) > 0 {
		s += " +match"
	}
	if t.Mirror != nil {
		s += fmt.Sprintf(" +mirror %d%%", t.Mirror.Percent)
	}
	return s
}

// portionNow says in words what the canary gets by the record.
func (p *pass) portionNow() string {
	t := portionOf(p.rec).parts()
	s := fmt.Sprintf("%d/%d", p.rec.Weight, p.rec.Total)
	if len(t.Audience) > 0 {
		s += " of those who take part"
	}
	if len(t.Match) > 0 {
		s += " and all that match"
	}
	s += " on canary " + p.rec.Canary
	if t.Mirror != nil {
		s += fmt.Sprintf(", with copies of %d%% of what stable gets", t.Mirror.Percent)
	}
	return s
}
