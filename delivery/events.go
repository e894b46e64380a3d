package delivery

// Reasons of events. Each is told once, with the write of the record (or of the
// condition, or of an object) that makes it happen. Rollbacks carry the same reasons in
// record.reason.
const (
	// EventAdopted: a Deployment was adopted.
	EventAdopted = "Adopted"
	// EventRevisionDetected: a changed template was seen, held.
	EventRevisionDetected = "RevisionDetected"
	// EventStepStarted: a step, or the whole weight after the last one, began.
	EventStepStarted = "StepStarted"
	// EventWeightAcked: every proxy has confirmed the step's weight.
	EventWeightAcked = "WeightAcked"
	// EventCheckFailed: a check failed more often than failureLimit forgives.
	EventCheckFailed = "CheckFailed"
	// EventHookPassed: a hook was told what came of a delivery.
	EventHookPassed = "HookPassed"
	// EventHookFailed: a hook said no, or nothing for too long.
	EventHookFailed = "HookFailed"
	// EventRolledBack: a failed revision goes back to stable; the message says why.
	EventRolledBack = "RolledBack"
	// EventMirrorsWrites: a step copies requests that change something.
	EventMirrorsWrites = "MirrorsWrites"
	// EventABTestEnded: an A/B test is over and goes back to stable, as its onEnd says.
	EventABTestEnded = "ABTestEnded"
	// EventRetry: somebody asked for another attempt of a rolled back revision.
	EventRetry = "Retry"
	// EventPromoted: the canary is stable now.
	EventPromoted = "Promoted"
	// EventSuperseded: what was delivered is not asked for any more.
	EventSuperseded = "Superseded"
	// EventScaledToZero: the Deployment was scaled to 0 on the way.
	EventScaledToZero = "ScaledToZero"
	// EventCanaryNotAvailable: canary pods did not come, or did not stay.
	EventCanaryNotAvailable = "CanaryNotAvailable"
	// EventCanaryAltered: the canary's ReplicaSet was stored with another template.
	EventCanaryAltered = "CanaryAltered"
	// EventAborted: a person took a revision back.
	EventAborted = "Aborted"
	// EventActionApplied: what a person asked for was done.
	EventActionApplied = "ActionApplied"
	// EventActionRefused: it was not; the message says why.
	EventActionRefused = "ActionRefused"
	// EventProxyRejected: a proxy refused its configuration.
	EventProxyRejected = "ProxyRejected"
	// EventProxySilent: a proxy did not confirm within acks.timeout.
	EventProxySilent = "ProxySilent"
	// EventNoVerdict: checks have had no verdict for progressDeadlineSeconds.
	EventNoVerdict = "NoVerdict"
	// EventClosed: spec.schedule or a Freeze holds the delivery.
	EventClosed = "Closed"
	// EventHandoverLate: everything was acked on the canary, but the handover could
	// not begin.
	EventHandoverLate = "HandoverLate"
	// EventPinMoved: the pin guard moved a pin off a revision without ready pods.
	EventPinMoved = "PinMoved"
	// EventWeakBudget: a PodDisruptionBudget lets stable's pods be evicted while
	// there are canary pods.
	EventWeakBudget = "WeakBudget"
	// EventPoliciesMissing: the admission policies do not work; the controller
	// holds and pins in their place.
	EventPoliciesMissing = "PoliciesMissing"
	// EventBreakGlass: a person took an object out of Crossfade's hands.
	EventBreakGlass = "BreakGlass"
	// EventStableLost: somebody deleted the stable ReplicaSet.
	EventStableLost = "StableLost"
	// EventDeploymentGone: the adopted Deployment was deleted.
	EventDeploymentGone = "DeploymentGone"
	// EventConfigChanged: a ConfigMap or Secret that the pods use was changed in place.
	EventConfigChanged = "ConfigChanged"
	// EventNotificationFailed: a target could not be told of something.
	EventNotificationFailed = "NotificationFailed"
	// EventDetached: the Deployment was let go.
	EventDetached = "Detached"
)
