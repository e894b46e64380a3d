package controllers

import (
	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
	"github.com/crossfade-dev/crossfade/proxy"
)

// invalidMatch refuses a Rollout for the first thing of its strategy that no proxy can
// compare, nil when there is none.
func invalidMatch(ro *v1alpha1.Rollout) *delivery.Refusal {
	mistakes := proxy.StrategyMistakes(&ro.Spec.Strategy)
	if len(mistakes) == 0 {
		return nil
	}
	return &delivery.Refusal{Reason: v1alpha1.ReasonInvalidMatch, Message: mistakes[0]}
}
