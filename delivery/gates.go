package delivery

// moment is a point at which a delivery may be held. Everything that holds one
// towards the canary and is no pause, ack or verdict is a gate: a window that is
// closed, a hook that has not answered. Gates are asked while the traffic of before
// is still served, measured and judged, so that waiting at one is as safe as the
// step that it follows. What goes towards stable passes no gate.
type moment int

const (
	// beforeStart: no canary pod exists yet.
	beforeStart moment = iota
	// beforeStep: the next step has not begun; at the first one, with beforeStart.
	beforeStep
	// beforePromotion: after the last step, before the canary gets everything.
	beforePromotion
)

// gatedBefore asks the gates before a step, or, after the last one, before the
// promotion. It follows from the step alone, so there is no way to a step, by time, by
// a person's word or by an edit, on which other gates stand. A canary that has been
// switched to, or gets everything, has passed those before its promotion.
func (p *pass) gatedBefore(step int32) bool {
	if !p.promotion(step) {
		return p.gated(beforeStep, step)
	}
	return !p.rec.Promoting && p.gated(beforePromotion, step)
}

// promotion says that what begins with a step is the promotion.
func (p *pass) promotion(step int32) bool {
	steps := p.steps()
	return int(step) > len(steps) || step >= 1 && steps[step-1].Switched
}

// gated says that something holds the delivery at a moment; the gate that does has
// said what is waited for. It may change the record.
func (p *pass) gated(m moment, step int32) bool {
	if p.closed(m) {
		p.unaskHooks()
		return true
	}
	return p.hooksHold(m, step)
}
