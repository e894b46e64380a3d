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
// Stepping to Retreating leads there, too; a check that fails takes the canary back,
// but none is waited for.
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
//	I13  Outside the windows of spec.schedule, and while a Freeze lasts, no canary
//	     starts, no step begins and no promotion, unless record.override names the
//	     revision, and the hooks before them are asked; the canary gets no more than
//	     what has begun was to give it, whatever is edited. What has begun is
//	     finished, and going back waits for nothing.
//	I14  What a person asks for has its effect once, in its turn, and only if the API
//	     server vouches for who asked; a step that requires approvals ends with those
//	     of so many people.
//
// # Guards
//
// Each guard, and a test that fails without it. All conditions and rules of this
// package were taken out once, one at a time (547 mutants), and each was missed by
// a test; these are the ones that an invariant rests on.
//
//	adoption from a settled state only      TestAdoption/rolling, /spec_not_acted_on, /twins
//	refusals before an adoption             TestAdoption/Recreate, /no_history, /unpinnable
//	refusals on the way                     TestPreparing/Recreate, /no_history, TestHealthy/held_template,_Recreate
//	finalizer before the record             TestAdoption/finalizer_first
//	no plan with a new record has actions   TestSimulation (I7)
//	hold what no policy held                TestHealthy/missed_template (I10)
//	hold again what somebody resumed        TestPreparing/resumed, TestStepping/unheld (I10)
//	release only stable's template          TestRestoring/stable_deleted (I10)
//	release last                            TestRestoring/history, /unpin, /holder (I10)
//	park all but stable                     TestPreparing/park, TestStepping/stray (I5)
//	holder before the canary                TestPreparing/holder (I5)
//	holder goes only when it owns nothing   TestRestoring/history, /pods_left (I5)
//	give back only what has no pods         TestGone, TestRestoring/pods_left (I5)
//	pinned before the first pod             TestPreparing/pin, /pin_others, /key_missing (I8)
//	pin kept                                TestStepping/unpinned, /stable_back (I8)
//	pin guard                               TestStepping/stable_lost, /others_ready_only (I11)
//	pins follow a stable that is another    TestRestoring/pin_elsewhere, /pinned_to_the_dead (I11)
//	nothing is left when Healthy            TestHealthy/left_pin, /left_holder, /held_for_nothing (I12)
//	nobody else's Service is touched        TestAdoption/deleted,_other's_Service (I12)
//	first one pod                           TestSizes/first_pod, /first_pod_pending (D8)
//	capacity leads the traffic              TestSizes/not_yet, /HPA_up,_come (I3)
//	fewer pods count before they go         TestSizes/HPA_down (I3)
//	a rise needs the acks of all            TestStepping/rise,_unacked, /rise,_old_render (I3)
//	a rise needs a proxy                    TestStepping/rise,_no_proxies
//	a step needs its acks to the end        TestStepping/raised,_unacked, TestSimulation (I3)
//	lost pods take the confirmation back    TestStepping/pods_lost, /reduced_later (I3)
//	an edited step is a step                TestStepping/raised, TestMeasuring/raised,_not_judged (I3)
//	closed windows and Freezes hold         TestClosed/start, /step, /promotion, /step,_frozen (I13)
//	an edit is no way round a window        TestClosed/raised_by_hand, /last_step_removed (I13)
//	nor is one before the weight is written TestClosed/raised_before_its_weight_is_written, TestSimulation (I13)
//	nor is it one round a hook              TestHookGates/raised,_asked_first, TestSimulation (I3)
//	no edit leads to the promotion          TestStepping/last_step_removed, TestSimulation (I13)
//	a promotion bears no added steps        TestPromotion/pinning,_more_steps
//	an approval is for what was seen        TestApprovalsAreForWhatWasSeen (I14)
//	what has begun is finished              TestClosed/step_begun, /promotion_begun
//	going back waits for no window          TestClosed/failed, /back_to_stable, /undo_while_warm
//	an override is for one revision         TestClosed/step,_other_overridden, /start,_overridden
//	paused stops what goes to the canary    TestStepping/rise,_paused, /grow,_paused, TestPromotion/swap,_paused
//	a word for another step counts nothing  TestStepping/other_promoted, TestRetreating/stale_retry
//	the last measurement counts             TestVerdicts/passed,_then_no_answer (I6)
//	measured until it cannot go back        TestPromotion/pinning,_failed, /swap,_failed, /whole,_failed
//	measured while a step waits for pods    TestMeasuring/the_next_step_waits,_failed
//	no answer is no verdict                 TestVerdicts/no_answer,_Fail, /no_answer,_Pass (I6)
//	answers about other times are dropped   TestVerdicts/before_the_ack, /another_step (I6)
//	too few requests are no verdict         TestBuiltinVerdicts/not_enough, TestSimulation (I6)
//	stable must be measured to compare      TestBuiltinVerdicts/stable_silent, /stable_not_enough (I6)
//	nothing to compare at the whole weight  TestComparisonIsAskedFor/whole_weight (I9)
//	a check without its template            TestBuiltinVerdicts/template_not_there, TestSimulation (I6)
//	no verdict pauses                       TestMeasuring/no_verdict (I6, I9)
//	traffic is weight                       TestPortions, TestWays (I2, I3, I4)
//	an edit takes at once, adds by a rise   TestWays/match_removed, /match_added (I3)
//	checks of the step only                 TestWays/other_check_failed, /other_check_missing (I6)
//	a person after the hold                 TestWays/blue-green,_held, /by_a_person
//	the switch passes the promotion's gate  TestGatesOfWays
//	a test goes on over lost pods           TestWays/test,_pods_lost, the golden ab-test-return
//	a test that returns needs no ack        TestWays/test_over,_unacked
//	deadlines                               TestStepping/not_available, /no_proxies,_too_long, /silent,
//	                                        TestPromotion/endpoints_for_ever (I9)
//	a clock starts when the wait does       TestStepping/pods_lost_after_long, /silent_since_restart (I9)
//	stable must be able to take over        TestStepping/failed,_stable_dead, TestRetreating/stable_dead (I2)
//	what alone serves keeps its size        TestSizes/smaller_while_it_serves_all (I9)
//	no pods go while routed to              TestRetreating/routed, /stable_just_back, TestWarm/routed,
//	                                        TestSizes/smaller_while_routed (I4)
//	nor while they bear the step before     TestSizes/smaller,_not_told_yet (I1)
//	not before the proxies were told        TestRetreating/not_rendered, TestWarm/not_rendered (I4)
//	the time counts from the restart        TestRetreating/routed,_restarted, TestWarm/routed,_restarted (I4)
//	old pods go by quarters                 TestWarm/down, /down,_HPA, /stable_short
//	all acked at the handover               TestPromotion/all_but_one, /swap,_unacked (I5)
//	template equal at the handover          TestPromotion/swap,_third, /swap,_altered (I5)
//	all pods there at the handover          TestPromotion/swap,_HPA_pods_pending (I5)
//	a cut handover is finished              TestPromotion/cut_in_two, /cut,_third, TestCrashes (I7)
//	joined means counted and numbered       TestPromotion/joined,_not_counted, /joined,_not_numbered
//	an action has its effect once           TestActions/taken, TestCrashes/people (I7, I14)
//	an action outlasts its delivery         TestTakenStays (I14)
//	a sample counts once, whoever acts      TestSamplesCountOnce
//	one action at a time                    TestActions/taken,_next (I14)
//	another revision than the one seen      TestActions/promote,_other, /retry,_other
//	nobody vouches for the name             TestGoldensOfPeople/action-refused (I14)
//	only what is held can be promoted       TestActions/promote,_too_early, TestGoldensOfPeople/action-promote
//	one person counts once                  TestActions/promote,_twice, /approvals,_one_of_two (I14)
//	an annotation approves nothing          TestActions/approvals,_annotation (I14)
//	what has failed goes back first         TestActions/failed,_then_full
//	a person's pause holds                  TestActions/pause,_next, /full,_paused_later (I3)
//	no abort in the midst of a handover     TestActions/abort,_in_the_swap (I5)
//	no write behind a broken glass          TestHealthy/glass_broken
//	a hook holds what stands behind it      TestHookGates/step,_asked, /start,_asked, /during,_asked (I3)
//	asked only once the record says so      TestHookGates/step,_asked_first, TestSimulation (I7)
//	an answer is about this delivery        TestHookGates/step,_other_revision, /step,_other_attempt (I3)
//	a hook that is waited for is named      TestHookWords/held, /checks
//	a hook's wait has an end                TestHookGates/step,_deadline, /during,_deadline (I9)
//	what is told afterwards holds nothing   TestHooksAfterwards/not_in_the_way, TestHookWords
//	finalizer never blocks                  TestHealthy/both_going, TestAdoption/namespace_goes
package delivery
