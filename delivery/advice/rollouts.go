package advice

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// rolloutRules judge the steps and clocks of a Rollout.
var rolloutRules = []Rule{
	{
		Code: "XF0101", Name: "NoChecks", Severity: Warning, Alone: true,
		What: "A Rollout without checks: readiness and the proxies' confirmations alone decide. A canary that answers every request with an error is promoted.",
		Mend: "Add spec.analysis with a check of the error rate at least.",
		find: noChecks,
	},
	{
		Code: "XF0102", Name: "WeightJump", Severity: Warning, Alone: true,
		What: "More than half of all requests move to the canary at once, from one step to the next or after the last one. What the checks have seen at the small weight says little about the large one, and a mistake meets most users.",
		Mend: "Add a step between, or make weight 100 with a pause the last step.",
		find: weightJump,
	},
	{
		Code: "XF0103", Name: "TooFewPods", Severity: Warning,
		What: "At a step the canary has so few pods that each of them gets more than one and a half times of what a stable pod carries today. It looks slower than it is, or falls over.",
		Mend: "Leave out the step's replicas, which gives the canary the share of pods that its weight is of the requests, or raise them.",
		find: tooFewPods,
	},
	{
		Code: "XF0104", Name: "EmptyStep", Severity: Warning, Alone: true,
		What: "A step of weight 0 that starts no pod and leads no request to the canary: it holds, and nothing can be seen in it.",
		Mend: "Give the step replicas (for a smoke test), a weight, a match or a mirror, or leave it out.",
		find: emptyStep,
	},
	{
		Code: "XF0105", Name: "NoWayBack", Severity: Warning, Alone: true,
		What: "scaleDownDelaySeconds is 0: the pods of the former revision go as soon as the canary is promoted. Clients that still hold a connection or an address of theirs lose requests, and an undo has to start pods first.",
		Mend: "Set scaleDownDelaySeconds to 30 or more, no shorter than your clients cache addresses.",
		find: noWayBack,
	},
	{
		Code: "XF0106", Name: "SilentProxiesIgnored", Severity: Info, Alone: true,
		What: "acks.onTimeout is Continue: a proxy that does not confirm a weight is left behind, and nobody knows which share it sends to the canary.",
		Mend: "Use Rollback unless you know why a proxy stays silent.",
		find: silentIgnored,
	},
	{
		Code: "XF0107", Name: "PausedBySpec", Severity: Info, Alone: true,
		What: "spec.paused is set: changed templates are held, and none goes on.",
		Mend: "Set spec.paused to false when the reason for it is over.",
		find: pausedBySpec,
	},
	{
		Code: "XF0108", Name: "WritesMirrored", Severity: Warning, Alone: true,
		What: "A mirror copies requests that change something. The copy of an order is a second order: the canary writes it to the same database, and sends the same mail.",
		Mend: "Leave out methods (GET, HEAD and OPTIONS are copied then), unless the canary throws away what is copied.",
		find: writesMirrored,
	},
	{
		Code: "XF0109", Name: "StickyWithoutEnd", Severity: Info, Alone: true,
		What: "A cookie keeps users on the revision that they were given for longer than a week: browsers go on sending it after the delivery that it was made for.",
		Mend: "Choose a ttl of about the time that a delivery takes.",
		find: stickyForever,
	},
	{
		Code: "XF0110", Name: "StickyTooShort", Severity: Warning, Alone: true,
		What: "A cookie that keeps users on their revision ends before the steps have been held: a user whose browser has dropped it is divided anew, and may go from the canary back to stable.",
		Mend: "Choose a ttl above the sum of all holds; where people promote, above the time that they take.",
		find: stickyTooShort,
	},
}

// outline is what a Rollout will do, and whether the number of pods in it is known:
// without the Deployment only shares can be judged, as of 100 pods.
func (d *delivered) outline() (legs []delivery.Leg, known bool) {
	if d.deployment == nil || replicas(d.deployment) == 0 {
		return delivery.Outline(d.rollout, 100), false
	}
	return delivery.Outline(d.rollout, replicas(d.deployment)), true
}

// at is the path of a step's field.
func at(ro *v1alpha1.Rollout, i int, field string) string {
	if ro.Spec.Strategy.Canary == nil {
		return "spec.strategy"
	}
	return fmt.Sprintf("spec.strategy.canary.steps[%d].%s", i, field)
}

// percent is part of whole as people write it.
func percent(part, whole int32) string {
	return strconv.FormatFloat(100*float64(part)/float64(whole), 'f', -1, 64) + " %"
}

func noChecks(s *scene) {
	for _, ro := range s.Rollouts {
		if ro.Spec.Analysis == nil || len(ro.Spec.Analysis.Checks) == 0 {
			s.found(RefTo("Rollout", ro), "spec.analysis", "no check measures the canary")
		}
	}
}

// weightJump judges the strategy canary only: to move everything at once is what the
// others are for.
func weightJump(s *scene) {
	for _, d := range s.deliveries {
		if d.rollout.Spec.Strategy.Canary == nil {
			continue
		}
		before := int32(0)
		legs, _ := d.outline()
		for i, leg := range legs {
			jump := leg.Weight - before
			before = leg.Weight
			switch {
			case 2*jump <= leg.Total:
			case leg.Whole:
				s.found(RefTo("Rollout", d.rollout), "spec.strategy.canary.steps", "after the last step %s of all requests move at once, and nothing is judged then", percent(jump, leg.Total))
			default:
				s.found(RefTo("Rollout", d.rollout), at(d.rollout, i, "weight"), "step %d moves %s of all requests at once", i+1, percent(jump, leg.Total))
			}
		}
	}
}

func tooFewPods(s *scene) {
	for _, d := range s.deliveries {
		legs, known := d.outline()
		whole := legs[len(legs)-1].Pods
		for i, leg := range legs {
			if leg.Replicas == nil || leg.Pods == 0 || leg.Pods >= whole || !known && !strings.HasSuffix(leg.Replicas.String(), "%") {
				continue
			}
			share := float64(leg.Weight) / float64(leg.Total)
			if load := share * float64(whole) / float64(leg.Pods); load > 1.5 {
				s.found(RefTo("Rollout", d.rollout), at(d.rollout, i, "replicas"), "step %d gives %s of the requests to replicas %s: each canary pod gets %.1f times what a stable pod carries",
					i+1, percent(leg.Weight, leg.Total), leg.Replicas, load)
			}
		}
	}
}

func emptyStep(s *scene) {
	for _, d := range s.deliveries {
		legs, _ := d.outline()
		for i, leg := range legs {
			led := leg.Traffic != nil && (len(leg.Traffic.Match) > 0 || leg.Traffic.Mirror != nil)
			if leg.Weight == 0 && leg.Pods == 0 && !led {
				s.found(RefTo("Rollout", d.rollout), at(d.rollout, i, "weight"), "step %d starts no pod and leads no request to the canary", i+1)
			}
		}
	}
}

func noWayBack(s *scene) {
	for _, ro := range s.Rollouts {
		if n := ro.Spec.ScaleDownDelaySeconds; n != nil && *n == 0 {
			s.found(RefTo("Rollout", ro), "spec.scaleDownDelaySeconds", "the former revision's pods go at the promotion at once")
		}
	}
}

func silentIgnored(s *scene) {
	for _, ro := range s.Rollouts {
		if ro.Spec.Acks.OnTimeout == v1alpha1.AckTimeoutContinue {
			s.found(RefTo("Rollout", ro), "spec.acks.onTimeout", "the rollout goes on without proxies that do not confirm")
		}
	}
}

func pausedBySpec(s *scene) {
	for _, ro := range s.Rollouts {
		if ro.Spec.Paused {
			s.found(RefTo("Rollout", ro), "spec.paused", "no changed template goes on while it is set")
		}
	}
}

// idempotent are the methods whose copy does no harm.
var idempotent = []string{"GET", "HEAD", "OPTIONS", "TRACE"}

func writesMirrored(s *scene) {
	for _, d := range s.deliveries {
		legs, _ := d.outline()
		for i, leg := range legs {
			if leg.Traffic == nil || leg.Traffic.Mirror == nil {
				continue
			}
			var writes []string
			for _, method := range leg.Traffic.Mirror.Methods {
				if !slices.Contains(idempotent, method) {
					writes = append(writes, method)
				}
			}
			if len(writes) > 0 {
				s.found(RefTo("Rollout", d.rollout), at(d.rollout, i, "mirror.methods"), "step %d copies %s to the canary", i+1, strings.Join(writes, ", "))
			}
		}
	}
}

// week is longer than a delivery takes.
const week = 7 * 24 * time.Hour

func stickyTooShort(s *scene) {
	for _, d := range s.deliveries {
		legs, _ := d.outline()
		held, cookie := time.Duration(0), (*v1alpha1.StickyCookie)(nil)
		for _, leg := range legs {
			if t := leg.Traffic; t != nil && t.Sticky != nil && t.Sticky.Cookie != nil {
				cookie = t.Sticky.Cookie
				held += leg.Hold
			}
		}
		if cookie != nil && cookie.TTL.Duration > 0 && cookie.TTL.Duration < held {
			s.found(RefTo("Rollout", d.rollout), "spec.strategy", "cookie %s is kept for %s, and the steps are held for %s", cookie.Name, cookie.TTL.Duration, held)
		}
	}
}

func stickyForever(s *scene) {
	for _, d := range s.deliveries {
		legs, _ := d.outline()
		for _, leg := range legs {
			if t := leg.Traffic; t != nil && t.Sticky != nil && t.Sticky.Cookie != nil && t.Sticky.Cookie.TTL.Duration > week {
				s.found(RefTo("Rollout", d.rollout), "spec.strategy", "cookie %s is kept for %s", t.Sticky.Cookie.Name, t.Sticky.Cookie.TTL.Duration)
				break
			}
		}
	}
}
