// Package delivery decides how a changed template of a Deployment reaches the
// users of a Service: Decide takes one Observation of the cluster and the proxies
// and returns one Plan. There are no clients, no clocks, no randomness and no logs
// in it, so every decision can be repeated from what was observed.
//
// What must survive a crash is the record (v1alpha1.Record) in the Rollout's
// status. It is written before anything else: a plan that changes it has no
// actions, they follow from the observation that has the new record in it. A
// crash between any two writes therefore plans the same again.
//
//	           held template                 ReplicaSet there
//	┌─────────┐             ┌───────────┐                    ┌──────────┐ step over:
//	│ Healthy ├────────────►│ Preparing ├───────────────────►│ Stepping │ next step,
//	└─────────┘             └───────────┘                    └─┬──────┬─┘ or whole weight
//	  ▲   ▲                   ▲    ▲   │ back to stable        │      │
//	  │   │                   │    │   └────────────┐     whole│      │ failed, third template,
//	  │   │          another  │    │                │    weight│      │ back to stable, deleted,
//	  │   │ template or retry │    │ third template │     acked│      │ scaled to 0
//	  │   │           ┌───────┴──┐ │                │          ▼      ▼
//	  │   │           │ Rolled-  │ │                │   ┌─────────┐ ┌────────────┐
//	  │   │           │ Back     │◄├────────────────┼───┤ Pinning ├►│ Retreating │
//	  │   │           └───────┬──┘ │                │   └────┬────┘ └─┬──────────┘
//	  │   │    back to stable │    └────────────────┼────────┼────────┤ canary gone
//	  │   │                   ▼                     ▼        │ pins   │
//	  │   │           ┌───────────┐◄────────────────┴────────┼────────┘
//	  │   └───────────┤ Restoring │                          ▼ moved
//	  │    given back └──▲──────┬─┘  old gone ┌──────┐   ┌─────────────┐ not begun:
//	  │                  └──────┼─────────────┤ Warm │◄──┤ HandingOver ├► Retreating
//	(adoption) ◄────────────────┘ let go      └──────┘   └─────────────┘
//
// From Pinning and from HandingOver before its swap everything that leads from
// Stepping to Retreating leads there, too; only checks are not asked any more.
// From every stage a plain rolling update that has run to its end (somebody broke
// the glass, or no policy was there) leads to Restoring, and a deleted Deployment
// to no record at all.
//
// # Rules
//
// A stage is a list of rules, asked in order; the first that decides ends the
// pass. What leads to stable stands before what keeps the delivery in order, and
// that before what leads to the canary. Every clock is read through pass.past,
// which also asks to be woken at that time (Plan.RequeueAt), so no deadline can be
// forgotten there.
//
// Where the design is silent:
//   - A Deployment with 0 replicas has nothing to shift. Its held template stays
//     held (I10) and waits in Preparing; scaled to 0 on the way, the canary goes
//     and begins anew at the first step when the Deployment is scaled up.
//   - A third template that comes while the old revision is warm waits until that
//     is gone, as its clients may still be on it. The template of the old revision
//     itself (an undo) turns round at once: its pods become the canary.
//   - A template that no policy held is held as soon as it is seen. The pods that
//     the rolling update has started by then are parked, and are the canary.
//   - A stable ReplicaSet that somebody deletes while the Deployment is held leaves
//     nothing to go back to: the Deployment is let go and starts its template by
//     itself, and what comes of it is the stable revision.
//   - Rollbacks write weight 0 only when stable has a ready pod, or the canary has
//     none.
//
// # Invariants
//
// Checked after every step of TestSimulation, of the goldens and of TestCrashes.
//
//	I1   The weights of a route are never negative and never sum to zero.
//	I2   No weight goes to a revision without a ready endpoint; what alone serves
//	     is not taken away.
//	I3   The weight rises only when the last one is acked by all, the canary can
//	     carry the next one, and the verdict is Pass.
//	I4   Pods of a revision are never removed while any proxy may still route to it,
//	     up to acks.timeout.
//	I5   While a hold is on the Deployment owns exactly the stable ReplicaSet, and
//	     in the gap of a handover nothing; a handover starts only at 100 % acked and
//	     with the held template equal to the canary's.
//	I6   Without a verdict nothing advances; an outage of a metrics source never
//	     promotes and never rolls back.
//	I7   A crash between any two writes ends in the same state as no crash.
//	I8   A client outside the mesh never reaches a canary pod while stable has a
//	     ready endpoint, until the promotion moves the pins.
//	I9   Every waiting state has a deadline, and the status names what it waits for.
//	I10  A hold ends only when the Deployment's template is the stable revision's,
//	     or the Rollout goes, or the glass is broken.
//	I11  A pinned Service has a ready endpoint if any revision has one.
//	I12  When nothing is on its way, Deployment and Service are as the user wrote
//	     them, but for the label.
package delivery
