package controllers

import (
	"fmt"
	"strings"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/proxy"
)

// invalidMatch is the first thing of a strategy that no proxy can compare, nil when
// there is none: regular expressions are compiled for that, which CEL cannot.
func invalidMatch(ro *v1alpha1.Rollout) *delivery.Refusal {
	s := &ro.Spec.Strategy
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
