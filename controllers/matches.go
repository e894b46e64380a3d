package controllers

import (
	"fmt"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/proxy"
)

// matcher says of each generation of a Rollout, once, whether proxies can compare what
// its strategy matches: regular expressions are compiled for that, which CEL cannot.
type matcher struct {
	mu    sync.Mutex
	known map[types.NamespacedName]compared
}

// compared is what is known of one generation.
type compared struct {
	uid        types.UID
	generation int64
	refusal    *delivery.Refusal
}

func newMatcher() *matcher { return &matcher{known: map[types.NamespacedName]compared{}} }

func (m *matcher) refusal(ro *v1alpha1.Rollout) *delivery.Refusal {
	m.mu.Lock()
	defer m.mu.Unlock()
	is, known := m.known[keyOf(ro)]
	if !known || is.uid != ro.UID || is.generation != ro.Generation {
		is = compared{ro.UID, ro.Generation, invalidMatch(&ro.Spec.Strategy)}
		m.known[keyOf(ro)] = is
	}
	return is.refusal
}

// forget drops what is known of a Rollout that is gone.
func (m *matcher) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, key)
}

// invalidMatch is the first thing that no proxy can compare, nil when there is none.
func invalidMatch(s *v1alpha1.Strategy) *delivery.Refusal {
	var mistakes []string
	matches := func(at string, list []v1alpha1.RequestMatch) {
		for i := range list {
			mistakes = append(mistakes, proxy.TrafficMistakes(fmt.Sprintf("%s[%d]", at, i), list[i])...)
		}
	}
	sticky := func(at string, s *v1alpha1.Sticky) {
		if s != nil && s.Header != nil && strings.EqualFold(s.Header.Name, "host") {
			mistakes = append(mistakes, at+".header.name host is no header of a user: name another one")
		}
	}
	if c := s.Canary; c != nil {
		for i := range c.Steps {
			matches(fmt.Sprintf("strategy.canary.steps[%d].match", i), c.Steps[i].Match)
		}
		sticky("strategy.canary.sticky", c.Sticky)
	}
	if b := s.BlueGreen; b != nil && b.Preview != nil {
		matches("strategy.blueGreen.preview.match", b.Preview.Match)
	}
	if t := s.ABTest; t != nil {
		matches("strategy.abTest.match", t.Match)
		sticky("strategy.abTest.sticky", &t.Sticky)
	}
	if len(mistakes) == 0 {
		return nil
	}
	return &delivery.Refusal{Reason: v1alpha1.ReasonInvalidMatch, Message: mistakes[0]}
}
