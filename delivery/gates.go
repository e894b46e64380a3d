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

// gated says that something holds the delivery at a moment; the gate that does has
// said what is waited for. It may change the record.
func (p *pass) gated(m moment) bool {
	if p.closed(m) {
		p.unaskHooks()
		return true
	}
	return p.hooksHold(m)
}
