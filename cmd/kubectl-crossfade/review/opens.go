package review

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/crossfade-dev/crossfade/delivery/forecast"
	"github.com/crossfade-dev/crossfade/delivery/schedule"
)

// opens says when the Rollout's schedule and the Freezes of its namespace let a
// moment pass; nil where nothing holds anything.
func (s *subject) opens(out *planned) func(forecast.Moment, time.Time) (time.Time, string) {
	freezes := s.freezes()
	var own *schedule.Schedule
	if spec := s.rollout.Spec.Schedule; spec != nil {
		// One that cannot be read is among the refusals.
		own, _ = schedule.Read(spec)
	}
	if s.client == nil {
		out.Unknown = append(out.Unknown, "whether a Freeze holds it")
	}
	if own == nil && len(freezes) == 0 {
		return nil
	}
	return func(m forecast.Moment, at time.Time) (time.Time, string) {
		asked := own
		if own != nil && !holds(own.Holds, m) {
			asked = nil
		}
		answer := schedule.Ask(asked, slices.DeleteFunc(slices.Clone(freezes), func(f schedule.Freeze) bool { return !holds(f.Holds, m) }), at)
		if answer.Open {
			return at, ""
		}
		return answer.Until, answer.Message
	}
}

func holds(h schedule.Holds, m forecast.Moment) bool {
	switch m {
	case forecast.BeforeStart:
		return h.Start
	case forecast.BeforeStep:
		return h.Step
	case forecast.BeforePromotion:
		return h.Promote
	}
	return true
}

// freezes are those of the Rollout's namespace. As in the controller, one whose
// selector cannot be read is for everybody.
func (s *subject) freezes() []schedule.Freeze {
	var own labels.Set
	for _, ns := range s.world.Namespaces {
		if ns.Name == s.rollout.Namespace {
			own = ns.Labels
		}
	}
	var out []schedule.Freeze
	for _, f := range s.world.Freezes {
		read := schedule.ReadFreeze(f)
		if f.Spec.NamespaceSelector != nil {
			selector, err := metav1.LabelSelectorAsSelector(f.Spec.NamespaceSelector)
			if err != nil {
				read.Trouble = "namespaceSelector: " + err.Error()
			} else if !selector.Matches(own) {
				continue
			}
		}
		out = append(out, read)
	}
	slices.SortFunc(out, func(a, b schedule.Freeze) int { return strings.Compare(a.Name, b.Name) })
	return out
}
