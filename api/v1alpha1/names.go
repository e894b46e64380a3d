package v1alpha1

// Labels, annotations and the finalizer that Crossfade puts on objects.
const (
	// LabelRollout on a Deployment and its Services names the Rollout that
	// delivers them; the admission policies act on objects that carry it.
	LabelRollout = "crossfade.dev/rollout"
	// LabelProxy on a pod says that it runs a proxy of ours; its value is the
	// kind of proxy, ProxyGateway or ProxySidecar.
	LabelProxy = "crossfade.dev/proxy"
	// LabelLeader on a pod of the controller says that it leads; proxies get their
	// configuration from it.
	LabelLeader = "crossfade.dev/leader"
	// LabelHook and LabelCheck on a Job name the hook or check of the Rollout that it
	// was made for.
	LabelHook  = "crossfade.dev/hook"
	LabelCheck = "crossfade.dev/check"
	// AnnotationHold on a Deployment says that a changed template is held, and
	// what the Deployment was before: "running" or "paused".
	AnnotationHold = "crossfade.dev/hold"
	// AnnotationPin on a Service names the one revision that it selects.
	AnnotationPin = "crossfade.dev/pin"
	// AnnotationBreakGlass on a Deployment or Service takes it out of
	// Crossfade's hands; the value says why.
	AnnotationBreakGlass = "crossfade.dev/break-glass"
	// AnnotationPromote on a Rollout ends an endless pause. Its value is
	// "<revision>/<step>", so that it can never act on another revision or step
	// than the one somebody looked at.
	AnnotationPromote = "crossfade.dev/promote"
	// AnnotationRetry on a Rollout tries a rolled back revision once more. Its
	// value is "<revision>/<attempt>", attempt being the number of the attempt
	// that is asked for (2 after the first rollback).
	AnnotationRetry = "crossfade.dev/retry"
	// AnnotationBy on a RolloutAction is the user who created it. The API server
	// writes it (config/policies/names.yaml) and keeps it as it is.
	AnnotationBy = "crossfade.dev/by"
	// Finalizer keeps a deleted Rollout until its Deployment and Services are as
	// the user wrote them.
	Finalizer = "crossfade.dev/rollout"
)

// Values of LabelProxy.
const (
	ProxyGateway = "gateway"
	ProxySidecar = "sidecar"
)

// Labels and annotations of the mesh. The labels say who gets a sidecar, the
// annotations of a pod how: each is read when the pod is created and never again.
const (
	// LabelInjection on a namespace gives its pods a sidecar when it is
	// InjectionEnabled.
	LabelInjection   = "crossfade.dev/injection"
	InjectionEnabled = "enabled"
	// LabelIstioInjection on a namespace is read as LabelInjection is, unless
	// Istio itself is there to read it.
	LabelIstioInjection = "istio-injection"
	// LabelInject on a pod is "true" or "false" and has the last word.
	LabelInject = "crossfade.dev/inject"
	// AnnotationInjected on a pod says which image and version of the sidecar it
	// got, as a JSON object.
	AnnotationInjected = "crossfade.dev/injected"
	// Annotations that exclude traffic from interception: TCP ports, or CIDRs of
	// the other side, separated by commas.
	AnnotationExcludeInboundPorts  = "crossfade.dev/exclude-inbound-ports"
	AnnotationExcludeOutboundPorts = "crossfade.dev/exclude-outbound-ports"
	AnnotationExcludeInboundCIDRs  = "crossfade.dev/exclude-inbound-cidrs"
	AnnotationExcludeOutboundCIDRs = "crossfade.dev/exclude-outbound-cidrs"
	// Annotations with the sidecar's requests and limits, as Kubernetes quantities.
	AnnotationProxyCPU         = "crossfade.dev/proxy-cpu"
	AnnotationProxyCPULimit    = "crossfade.dev/proxy-cpu-limit"
	AnnotationProxyMemory      = "crossfade.dev/proxy-memory"
	AnnotationProxyMemoryLimit = "crossfade.dev/proxy-memory-limit"
)

// Conditions of a Rollout. Ready, Reconciling and Stalled follow kstatus, so
// that kubectl wait, Flux and Argo CD read them as they read any other kind.
const (
	// ConditionReady is True while the stable revision is the Deployment's
	// template and nothing is on its way.
	ConditionReady = "Ready"
	// ConditionReconciling is True while something is on its way.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when the Rollout cannot go on by itself.
	ConditionStalled = "Stalled"
	// ConditionPromoted is what a pipeline waits for: True when the Deployment's
	// template is the stable revision; its message names the revision.
	ConditionPromoted = "Promoted"
	// ConditionHeld is False when the admission policies do not hold changed
	// templates and pins, and the controller does it in their place.
	ConditionHeld = "Held"
	// ConditionWeakBudget is True while a PodDisruptionBudget with an integer
	// minAvailable counts the Deployment's pods; without one there is no such
	// condition.
	ConditionWeakBudget = "WeakBudget"
	// ConditionPerConnection is True while the Service has ports on which sidecars
	// divide connections, because no requests can be told apart; without one there is
	// no such condition.
	ConditionPerConnection = "PerConnection"
	// ConditionConfigChanged is True from when a ConfigMap or Secret that the pods use
	// was changed in place during a delivery, until that ends; without such a change
	// there is no such condition.
	ConditionConfigChanged = "ConfigChanged"
	// ConditionAdvice is True while rules of `kubectl crossfade analyze` find something
	// in the Rollout's spec; its message has their codes. It decides nothing.
	ConditionAdvice = "Advice"
)

// ConditionActive of a Freeze is True while it holds deliveries.
const ConditionActive = "Active"

// Reasons of ConditionActive, beside ReasonPending: it holds, and it never will again.
const (
	ReasonFrozen = "Frozen"
	ReasonOver   = "Over"
)

// Reasons of conditions that refuse a Rollout or explain a wait. Events have
// reasons of their own in package delivery.
const (
	ReasonConflict           = "Conflict"
	ReasonNotSettled         = "NotSettled"
	ReasonHistoryLimitZero   = "HistoryLimitZero"
	ReasonRecreateStrategy   = "RecreateStrategy"
	ReasonUnpinnedServices   = "UnpinnedServices"
	ReasonDeploymentNotFound = "DeploymentNotFound"
	ReasonServiceNotFound    = "ServiceNotFound"
	ReasonSelectorMismatch   = "SelectorMismatch"
	ReasonInvalidQuery       = "InvalidQuery"
	ReasonTemplateNotFound   = "TemplateNotFound"
	ReasonInvalidTemplate    = "InvalidTemplate"
	ReasonInvalidArguments   = "InvalidArguments"
	ReasonInvalidMatch       = "InvalidMatch"
	ReasonInvalidSchedule    = "InvalidSchedule"
	ReasonBreakGlass         = "BreakGlass"
	ReasonInitializing       = "Initializing"
	ReasonHealthy            = "Healthy"
	ReasonProgressing        = "Progressing"
	ReasonPaused             = "Paused"
	ReasonClosed             = "Closed"
	ReasonPromoting          = "Promoting"
	ReasonPromoted           = "Promoted"
	ReasonRollingBack        = "RollingBack"
	ReasonRolledBack         = "RolledBack"
	ReasonABTestEnded        = "ABTestEnded"
	ReasonNoVerdict          = "NoVerdict"
	ReasonNoProxies          = "NoProxies"
	ReasonPoliciesWork       = "PoliciesWork"
	ReasonPoliciesMissing    = "PoliciesMissing"
	ReasonWaitingForHook     = "WaitingForHook"
	ReasonHookForbidden      = "HookForbidden"
	ReasonJobsUnguarded      = "JobsUnguarded"

	ReasonIntegerMinAvailable = "IntegerMinAvailable"
	ReasonTCPPorts            = "TCPPorts"
	ReasonChangedInPlace      = "ChangedInPlace"
	ReasonFindings            = "Findings"
)
